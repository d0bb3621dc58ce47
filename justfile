# The commands of this project. `just ci` is what continuous integration runs.

# Format, lints, documentation, tests.
ci:
    bash .ci/run

# All tests.
test:
    cargo test --workspace

# The word count of the README.
words *ARGS:
    cargo run --release --example word_count -- {{ARGS}}

# Flights of aircraft, made of position reports: `just flights --generate 100000 --out flights.csv --late late.jsonl`.
flights *ARGS:
    cargo run --release --example sessions -- {{ARGS}}

# Bars of a second, a minute and an hour, made of trades: `just bars --out FOLDER`, which exists.
bars *ARGS:
    cargo run --release --example bars -- {{ARGS}}

# Card payments, judged by rules that change: `just fraud SHOP --generate 20000`.
fraud *ARGS:
    cargo run --release --example fraud -- {{ARGS}}

# Side by side with hand-written loops. The crate is not a member of the workspace.
bench *ARGS:
    cargo run --release --manifest-path bench/Cargo.toml -- {{ARGS}}

# Instructions per item of the hot loops, against the committed baseline (with --bless: writes it anew). Needs valgrind.
guard *ARGS:
    bash bench/guard/check.sh {{ARGS}}

# The rows of the Nexmark queries, against SQL in DuckDB, which pip fetches.
nexmark-check *ARGS:
    cargo build --release -p flow-examples --example nexmark
    python3 examples/nexmark-check.py {{ARGS}} target/release/examples/nexmark

# The same keyed work on Bytewax and on Flink, fetched from PyPI.
engines:
    bash bench/engines/bytewax.sh
    bash bench/engines/flink.sh

# The word count in a build that counts and times every step.
profile *ARGS:
    cargo run --release --example word_count --features flow-runtime/profile -- --profile {{ARGS}}

# The tests of that build.
test-profile:
    cargo test -p flow-runtime --features profile --lib profile
    cargo build -p flow-examples --examples --features flow-runtime/profile
    cargo test -p flow-examples --test profile --features flow-runtime/profile

# Asynchronous steps in a build whose futures may wait with tokio.
test-tokio:
    cargo test -p flow-runtime --features tokio --lib async

# How long a change of one step takes to compile in a dataflow of a hundred.
compile-time:
    bash bench/compile-time.sh

# Ten million crashes of the log on a simulated disk (CRASHES, SEED).
crashes:
    CRASHES=${CRASHES:-10000000} cargo test --release -p flow-runtime --lib no_crash_loses -- --nocapture

# A long run of updates and deletes (SOAK: epochs): how large the log gets, and how often it is written.
soak:
    SOAK=${SOAK:-100000} cargo test --release -p flow-runtime --lib updates_and_deletes -- --nocapture

# Writes the expected compiler messages of ui-tests anew; read them before you commit them.
bless:
    TRYBUILD=overwrite cargo test -p ui-tests

# Examples killed so many times, on as many threads as it takes; see examples/tests/recovery_kill.rs.
kills N="300":
    cargo build --release -p flow-examples --examples
    FLOW_KILLS={{N}} cargo test --release -p flow-examples --test recovery_kill -- --nocapture

# So many power cuts on a file system of its own. Needs root and loop devices.
power-cuts N="100":
    cargo build --release -p flow-examples --examples
    FLOW_POWER_CUTS={{N}} cargo test --release -p flow-examples --test recovery_power -- --nocapture

# So many calls of each kind fail. Needs strace.
faults N="20":
    cargo build --release -p flow-examples --examples
    FLOW_FAULTS={{N}} cargo test --release -p flow-examples --test recovery_calls -- --nocapture

# Every decoder gets changed input for so many seconds, on the stable toolchain.
fuzz SECONDS="60":
    FLOW_FUZZ_SECONDS={{SECONDS}} cargo test --release -p flow-runtime --lib changed_inputs -- --nocapture
