import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.HexFormat;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * A payment system in Java, with the ordinary producer and its ordinary partitioner. Each line of standard input is
 * a topic, a partition or "-", a key or "-", and a value in hex; "flush" alone waits for all before it.
 */
public class Produce {
    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", arguments[0]);
        properties.put("acks", "all");
        properties.put("compression.type", arguments[1]);
        var lines = new BufferedReader(new InputStreamReader(System.in));
        try (var producer = new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                if (line.equals("flush")) {
                    producer.flush();
                    continue;
                }
                String[] parts = line.split("\t");
                Integer partition = parts[1].equals("-") ? null : Integer.valueOf(parts[1]);
                byte[] key = parts[2].equals("-") ? null : parts[2].getBytes("UTF-8");
                producer.send(new ProducerRecord<>(parts[0], partition, key, HexFormat.of().parseHex(parts[3])));
            }
        }
    }
}
