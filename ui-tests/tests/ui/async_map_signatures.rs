use flow_runtime::prelude::*;

#[async_map]
fn not_async(url: String) -> String {
    url
}

#[async_map]
async fn no_item() -> String {
    String::new()
}

#[async_map]
async fn returns_nothing(url: String) {
    drop(url);
}

#[async_map]
async fn borrowed(url: &str) -> usize {
    url.len()
}

#[async_map]
async fn without_a_name(url: String) -> impl Sized {
    url
}

struct NotClone;

#[async_map]
async fn not_clone(item: NotClone) -> usize {
    let _ = item;
    0
}

struct NoText;

#[async_map]
async fn no_text(url: String) -> Result<String, NoText> {
    let _ = url;
    Err(NoText)
}

fn main() {}
