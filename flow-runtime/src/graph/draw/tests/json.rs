//! JSON.

use serde_json::{Value, json};

use super::*;

fn parsed(graph: &Graph) -> Value {
    serde_json::from_str(&graph.to_json()).expect("it is JSON")
}

#[test]
fn a_step_with_everything() {
    let graph = parsed(&WORD_COUNT);
    assert_eq!((&graph["format"], &graph["name"]), (&json!(1), &json!("word_count")));
    assert_eq!(
        graph["nodes"][3],
        json!({
            "id": "counts", "kind": "stateful_map", "operator": "count", "starts_stage": false,
            "key": "str", "input": "String", "output": "u64", "state": "Count",
            "inputs": [{ "step": "by_word", "stream": "by_word" }], "outputs": ["counts"], "flow": null,
        })
    );
    assert_eq!(graph["nodes"][2]["starts_stage"], json!(true));
    assert_eq!(graph["nodes"][0]["input"], Value::Null);
}

#[test]
fn sub_flows_are_nested_and_their_ids_are_full() {
    let graph = parsed(&MIXED);
    let clean = &graph["nodes"][1];
    assert_eq!((&clean["id"], &clean["kind"]), (&json!("clean"), &json!("flow")));
    assert_eq!(clean["flow"]["inputs"], json!([{ "name": "text", "type": "Stream<String>" }]));
    assert_eq!(
        clean["flow"]["outputs"],
        json!([{ "step": "clean/parsed", "stream": "parsed" }, { "input": "text" }])
    );
    let trimmed = &clean["flow"]["nodes"][0];
    assert_eq!(trimmed["flow"]["nodes"][0]["id"], json!("clean/trimmed/short"));
    assert_eq!(trimmed["flow"]["nodes"][0]["inputs"], json!([{ "input": "raw" }]));
    assert_eq!(
        graph["nodes"][6]["inputs"],
        json!([{ "step": "allow", "stream": "allow" }, { "step": "allow", "stream": "deny" }])
    );
}

#[test]
fn the_order_of_the_fields_is_part_of_the_format() {
    let text = TRIM.to_json();
    let places: Vec<_> = [
        "format",
        "name",
        "inputs",
        "nodes",
        "id",
        "kind",
        "operator",
        "starts_stage",
        "key",
        "output",
    ]
    .iter()
    .map(|field| text.find(&format!("\"{field}\":")))
    .collect();
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{text}");
}
