//! What the compiler says when a dataflow is written wrongly: see `tests/ui`. A case is a program and the text that its
//! author reads. After a change of a text, `TRYBUILD=overwrite cargo test -p ui-tests` writes the new ones; read them.
