import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicLong;

import org.apache.flink.api.common.functions.FlatMapFunction;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.TypeHint;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.api.connector.sink2.SinkWriter;
import org.apache.flink.api.connector.sink2.WriterInitContext;
import org.apache.flink.api.connector.source.lib.NumberSequenceSource;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/**
 * Keyed running sums on Flink: the records, the state and the checksum of bench/src/works/keyed.rs.
 *
 * KeyedFlink RECORDS KEYS WORKERS off|1s FOLDER
 */
public class KeyedFlink {
    /** Of all writers, which run in this process. */
    static final AtomicLong CHECKSUM = new AtomicLong();
    static final AtomicLong UPDATES = new AtomicLong();

    public static void main(String[] args) throws Exception {
        long records = Long.parseLong(args[0]);
        long keys = Long.parseLong(args[1]);
        int workers = Integer.parseInt(args[2]);
        String recovery = args[3];
        Path scratch = Path.of(args[4]);
        // The first job warms the JVM up and is not counted.
        run(records, keys, workers, recovery, scratch);
        CHECKSUM.set(0);
        UPDATES.set(0);
        long cpu = cpuNanos();
        long written = writtenBytes();
        double seconds = run(records, keys, workers, recovery, scratch) / 1e3;
        double cpuSeconds = (cpuNanos() - cpu) / 1e9;
        written = writtenBytes() - written;
        if (UPDATES.get() != records) {
            throw new IllegalStateException(UPDATES.get() + " updates of " + records + " records");
        }
        System.out.printf(
            "engine=flink work=keyed workers=%d recovery=%s records=%d keys=%d per_s=%.0f seconds=%.3f cpu_s=%.2f checksum=%s%s%n",
            workers, recovery, records, keys, records / seconds, seconds, cpuSeconds,
            Long.toUnsignedString(CHECKSUM.get()),
            recovery.equals("off") ? "" : String.format(" written_mb=%.0f", written / 1e6));
        System.exit(0);
    }

    /** One job; returns its net milliseconds, as Flink says them. */
    static long run(long records, long keys, int workers, String recovery, Path scratch) throws Exception {
        Configuration conf = new Configuration();
        conf.setString("state.backend.type", "hashmap");
        conf.setString("rest.port", "0");
        if (!recovery.equals("off")) {
            conf.setString("execution.checkpointing.interval", recovery);
            conf.setString("execution.checkpointing.storage", "filesystem");
            conf.setString("execution.checkpointing.dir", scratch.toUri().toString());
        }
        StreamExecutionEnvironment env = StreamExecutionEnvironment.createLocalEnvironment(workers, conf);
        env.getConfig().enableObjectReuse();
        env.fromSource(new NumberSequenceSource(0, records * workers - 1), WatermarkStrategy.noWatermarks(), "numbers")
            .flatMap(new Records(records, keys, workers)).returns(Types.LONG)
            .keyBy(amount -> keyOf(amount, keys), Types.LONG)
            .process(new Total()).returns(new TypeHint<Tuple2<Long, Long>>() {})
            .sinkTo(new Checksum());
        return env.execute("keyed").getNetRuntime();
    }

    /** The n-th record: splitmix64 of n. */
    static long record(long n) {
        long z = (n + 1) * 0x9e3779b97f4a7c15L;
        z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
        z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
        return z ^ (z >>> 31);
    }

    /** The high half of the product, both unsigned. */
    static long keyOf(long record, long keys) {
        return Math.multiplyHigh(record, keys) + ((record >> 63) & keys);
    }

    /**
     * Records from numbers. There are as many rounds through all records as workers, each a split of the source; round p keeps the
     * records whose key is p modulo the workers. So all records of a key come from one reader, in order, as the running sums depend on
     * it. Flink deals keys to workers by a hash of its own, so this saves it nothing.
     */
    static class Records implements FlatMapFunction<Long, Long> {
        final long records, keys;
        final int workers;

        Records(long records, long keys, int workers) {
            this.records = records;
            this.keys = keys;
            this.workers = workers;
        }

        @Override
        public void flatMap(Long number, Collector<Long> out) {
            long round = number / records;
            long amount = record(number - round * records);
            if (workers == 1 || keyOf(amount, keys) % workers == round) {
                out.collect(amount);
            }
        }
    }

    /** What is kept of a key. */
    public static class Totals {
        public long count, sum, least, most;
    }

    static class Total extends KeyedProcessFunction<Long, Long, Tuple2<Long, Long>> {
        transient ValueState<Totals> totals;
        transient Tuple2<Long, Long> update;

        @Override
        public void open(OpenContext context) {
            totals = getRuntimeContext().getState(new ValueStateDescriptor<>("totals", Totals.class));
            update = new Tuple2<>();
        }

        @Override
        public void processElement(Long amount, Context context, Collector<Tuple2<Long, Long>> out) throws Exception {
            Totals state = totals.value();
            boolean first = state == null;
            if (first) {
                state = new Totals();
            }
            state.count += 1;
            state.sum += amount;
            // As unsigned numbers.
            state.least = first || Long.compareUnsigned(amount, state.least) < 0 ? amount : state.least;
            state.most = Long.compareUnsigned(amount, state.most) > 0 ? amount : state.most;
            totals.update(state);
            update.f0 = context.getCurrentKey();
            update.f1 = state.sum;
            out.collect(update);
        }
    }

    static class Checksum implements Sink<Tuple2<Long, Long>> {
        @Override
        public SinkWriter<Tuple2<Long, Long>> createWriter(WriterInitContext context) {
            return new SinkWriter<>() {
                long sum, updates;

                @Override
                public void write(Tuple2<Long, Long> update, Context context) {
                    sum += update.f0 ^ update.f1;
                    updates += 1;
                }

                @Override
                public void flush(boolean endOfInput) {
                    CHECKSUM.addAndGet(sum);
                    UPDATES.addAndGet(updates);
                    sum = 0;
                    updates = 0;
                }

                @Override
                public void close() {}
            };
        }
    }

    static long cpuNanos() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
    }

    /** What this process has had written to disks. */
    static long writtenBytes() throws Exception {
        for (String line : Files.readAllLines(Path.of("/proc/self/io"))) {
            if (line.startsWith("write_bytes: ")) {
                return Long.parseLong(line.substring("write_bytes: ".length()));
            }
        }
        return 0;
    }
}
