import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * Kafka Streams with the I/O of the account agent and without its rules: there is no account agent in Java. For each
 * event it reads the account's state, looks up whether the fact is known, writes the fact and a state of the size
 * that the agent's has, and says something for one event in twenty; exactly once (exactly_once_v2), one thread. It
 * decodes no fields and folds no account, so it is a bound for Kafka's own cost and no equal of the others.
 */
public class Account {
    static final int STATE_BYTES = 900;

    static class Keeper implements Processor<byte[], byte[], byte[], byte[]> {
        private ProcessorContext<byte[], byte[]> context;
        private KeyValueStore<byte[], byte[]> rows;
        private long seen;

        @Override
        public void init(ProcessorContext<byte[], byte[]> context) {
            this.context = context;
            this.rows = context.getStateStore("rows");
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            byte[] value = record.value();
            // The event id, which is near the front of every event, stands for the fact's key.
            byte[] fact = concat(record.key(), Arrays.copyOfRange(value, 10, Math.min(value.length, 40)));
            if (rows.get(fact) != null) return;
            byte[] state = rows.get(record.key());
            if (state == null) state = new byte[STATE_BYTES];
            ByteBuffer.wrap(state).putLong(0, ByteBuffer.wrap(state).getLong(0) + 1);
            rows.put(fact, value);
            rows.put(record.key(), state);
            if (++seen % 20 == 0) context.forward(new Record<>(record.key(), value, record.timestamp()));
        }

        private static byte[] concat(byte[] first, byte[] second) {
            byte[] both = Arrays.copyOf(first, first.length + second.length);
            System.arraycopy(second, 0, both, first.length, second.length);
            return both;
        }
    }

    public static void main(String[] arguments) {
        String bootstrap = arguments[0], prefix = arguments[1], group = arguments[2], folder = arguments[3];
        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, group);
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        properties.put(StreamsConfig.STATE_DIR_CONFIG, folder);
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        properties.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        var bytes = Serdes.ByteArray();
        Topology topology = new Topology();
        topology.addSource("in", bytes.deserializer(), bytes.deserializer(),
            prefix + "accounts", prefix + "payments", prefix + "collections");
        topology.addProcessor("account", Keeper::new, "in");
        topology.addStateStore(
            Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("rows"), bytes, bytes), "account");
        topology.addSink("out", prefix + "delinquency", bytes.serializer(), bytes.serializer(), "account");
        var streams = new KafkaStreams(topology, properties);
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }
}
