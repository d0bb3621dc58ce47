//! Mermaid, DOT and text.

use std::io::Write;
use std::process::{Command, Stdio};

use super::*;

#[test]
fn a_chain_of_steps_in_mermaid() {
    assert_eq!(
        WORD_COUNT.to_mermaid(),
        r#"flowchart TD
    n0(["lines<br/>source"])
    n1["words<br/>flat_map split"]
    n2{{"by_word<br/>key_by"}}
    n3[["counts<br/>stateful_map count<br/>state Count"]]
    n4[("counts.sink<br/>sink")]
    n0 -->|"String"| n1
    n1 ==>|"String"| n2
    n2 -->|"String"| n3
    n3 -->|"u64"| n4
"#
    );
}

#[test]
fn a_chain_of_steps_in_dot() {
    assert_eq!(
        WORD_COUNT.to_dot(),
        r#"digraph "word_count" {
    rankdir=TB;
    node [fontname="sans-serif"];
    edge [fontname="sans-serif"];
    n0 [shape=oval, label="lines\nsource"];
    n1 [shape=box, label="words\nflat_map split"];
    n2 [shape=hexagon, label="by_word\nkey_by"];
    n3 [shape=box3d, label="counts\nstateful_map count\nstate Count"];
    n4 [shape=cylinder, label="counts.sink\nsink"];
    n0 -> n1 [style=solid, label="String"];
    n1 -> n2 [style=bold, label="String"];
    n2 -> n3 [style=solid, label="String"];
    n3 -> n4 [style=solid, label="u64"];
}
"#
    );
}

#[test]
fn a_chain_of_steps_in_text() {
    assert_eq!(
        WORD_COUNT.to_text(),
        "\
word_count
lines          source
→ words        flat_map split  ← String
⇒ by_word      key_by  ← String
→ counts       stateful_map count (state Count)  ← String
→ counts.sink  sink  ← u64
"
    );
}

#[test]
fn sub_flows_are_frames_and_streams_run_through_their_rims() {
    assert_eq!(
        MIXED.to_mermaid(),
        r#"flowchart TD
    n0(["lines<br/>source"])
    n3(["limits<br/>source"])
    n4{{"limit<br/>broadcast"}}
    n5["judged<br/>map judge"]
    n6{"allow<br/>branch"}
    n7{{"all<br/>merge"}}
    n8[("all.sink<br/>sink")]
    n9[/"denied<br/>discard"/]
    n10[("raw<br/>sink")]
    subgraph f1["clean<br/>clean"]
        n2["clean/parsed<br/>map parse"]
        subgraph f2["clean/trimmed<br/>ops::trim"]
            n1["clean/trimmed/short<br/>filter"]
        end
    end
    n0 -->|"String"| n1
    n1 -->|"String"| n2
    n3 ==> n4
    n2 -->|"Vec#60;#38;#34;a#34;#62;"| n5
    n4 -.-> n5
    n5 -->|"Decision"| n6
    n6 ==>|"allow"| n7
    n6 ==>|"deny"| n7
    n7 --> n8
    n6 -->|"deny"| n9
    n0 -->|"String"| n10
"#
    );
}

#[test]
fn fan_out_and_merge_in_text() {
    assert_eq!(
        MIXED.to_text(),
        "\
mixed
lines                     source
  ├→ clean/trimmed/short  filter  ← String
  │→ clean/parsed         map parse  ← String
  │→ judged ↓             ← Vec<&\"a\">
  └→ raw                  sink  ← String
limits                    source
⇒ limit                   broadcast
⇢ judged                  map judge
→ allow                   branch  ← Decision
  ├⇒ all ↓                ← allow
  ├⇒ all                  merge  ← deny
  │→ all.sink             sink
  └→ denied               discard  ← deny
"
    );
}

#[test]
fn frames_in_dot_are_clusters_and_quotes_are_escaped() {
    let dot = MIXED.to_dot();
    assert!(dot.contains("subgraph cluster_1 {\n        label=\"clean\\nclean\";"), "{dot}");
    assert!(dot.contains("        subgraph cluster_2 {"), "{dot}");
    assert!(dot.contains(r#"n2 -> n5 [style=solid, label="Vec<&amp;\"a\">"];"#), "{dot}");
    assert!(dot.contains("n4 -> n5 [style=dashed, label=\"\"];"), "{dot}");
}

#[test]
fn a_sub_flow_by_itself_shows_what_goes_in_and_out() {
    assert_eq!(
        TRIM.to_mermaid(),
        r#"flowchart TD
    n0(("raw<br/>input"))
    n1["short<br/>filter"]
    n2(("short<br/>output"))
    n0 -->|"String"| n1
    n1 -->|"String"| n2
"#
    );
    assert_eq!(
        CLEAN.to_text(),
        "\
clean
text                input
  ├→ trimmed/short  filter  ← String
  │→ parsed         map parse  ← String
  │→ parsed         output  ← Vec<&\"a\">
  └→ text           output  ← String
"
    );
}

#[test]
fn names_are_escaped_in_mermaid() {
    const ODD: Graph = Graph {
        name: "odd",
        inputs: &[],
        nodes: &[by_function("style \"#`\\", "a::b", Kind::Map, ["", ""], &[], &["x"])],
        outputs: &[],
    };
    let drawn = ODD.to_mermaid();
    assert_eq!(drawn, "flowchart TD\n    n0[\"style #34;#35;#96;#92;<br/>map a#58;#58;b\"]\n");
}

#[test]
fn edges_that_lead_nowhere_are_left_out() {
    assert_eq!(DANGLING.to_mermaid(), "flowchart TD\n    n0[\"a<br/>map\"]\n    n0 --> n0\n");
    assert!(DANGLING.to_dot().contains("n0 [shape=box"));
    assert!(DANGLING.to_json().contains("\"step\": \"\""));
}

#[test]
fn graphviz_reads_the_dot() {
    for graph in [WORD_COUNT, MIXED, TRIM, CLEAN, DANGLING] {
        let started =
            Command::new("dot").arg("-Tplain").stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        let Ok(mut child) = started else {
            println!("skipped: Graphviz's `dot` is not installed");
            return;
        };
        let mut stdin = child.stdin.take().expect("it was asked for");
        stdin.write_all(graph.to_dot().as_bytes()).expect("dot reads its input");
        drop(stdin);
        assert!(child.wait().expect("dot ends").success(), "{}", graph.to_dot());
    }
}
