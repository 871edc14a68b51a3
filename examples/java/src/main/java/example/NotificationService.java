package example;

import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * A notification service: reads offers into an outbox, each once, and tells those that may be told.
 *
 * --until-end true: stop where the topic ends now. --most N: stop after so many records, in the middle of a batch, as a
 * crash would. --at INSTANT: tell as if it were then.
 */
public final class NotificationService {
    public static void main(String[] arguments) throws Exception {
        Map<String, String> given = Contracts.options(arguments);
        var contracts = new Contracts(Path.of(given.get("contracts")), given.get("registry"));
        try (var outbox = new Outbox(given.getOrDefault("outbox", "jdbc:sqlite:outbox.db"))) {
            long most = Long.parseLong(given.getOrDefault("most", String.valueOf(Long.MAX_VALUE)));
            follow(given, contracts, outbox, most, given.containsKey("until-end"));
            Instant now = given.containsKey("at") ? Instant.parse(given.get("at")) : Instant.now();
            for (Outbox.Due due : outbox.due(now)) {
                System.out.println(String.join("\t", due.offer(), due.borrower(), due.channels(), due.message()));
                outbox.sent(due.offer());
            }
        }
    }

    private static void follow(
            Map<String, String> given, Contracts contracts, Outbox outbox, long most, boolean untilEnd) throws Exception {
        String topic = given.getOrDefault("prefix", "reprieve.") + "offers";
        Map<String, Object> properties = Map.of(
                "bootstrap.servers", given.getOrDefault("bootstrap", "127.0.0.1:9092"),
                // Reprieve commits transactions: what is not committed was never said.
                "isolation.level", "read_committed",
                "enable.auto.commit", false);
        try (var consumer = new KafkaConsumer<>(properties, new StringDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> parts = consumer.partitionsFor(topic).stream()
                    .map(part -> new TopicPartition(topic, part.partition()))
                    .toList();
            consumer.assign(parts);
            Map<Integer, Long> places = outbox.places();
            for (TopicPartition part : parts) {
                consumer.seek(part, places.getOrDefault(part.partition(), 0L));
            }
            Map<TopicPartition, Long> ends = consumer.endOffsets(parts);
            // Behind the last record there may be markers of transactions, which nobody reads: the position says it.
            while (!untilEnd || parts.stream().anyMatch(part -> consumer.position(part) < ends.get(part))) {
                for (ConsumerRecord<String, byte[]> record : consumer.poll(Duration.ofMillis(500))) {
                    outbox.take(contracts.decode(record.value()), record.partition(), record.offset());
                    if (--most == 0) {
                        return;
                    }
                }
            }
        }
    }
}
