//! What the macro does, on tokens, without the compiler.
