use flow_runtime::prelude::*;

#[map]
async fn fetch(url: String) -> String {
    url
}

#[dataflow]
async fn fetched(text: Lines) {
    let urls = source(text);
    let pages = fetch(urls);
    sink(pages, Stdout::lines());
}

fn main() {
    let _ = fetched(Lines::of("text"));
}
