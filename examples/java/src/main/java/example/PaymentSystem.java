package example;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.time.LocalTime;
import java.time.ZoneOffset;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * A payment system: publishes payments of a CSV file (payment_id, account_id, amount, currency, value_on, channel).
 * Amounts are minor units. The event_id follows from the payment, so a file that is sent again has no effect.
 */
public final class PaymentSystem {
    public static void main(String[] arguments) throws IOException {
        Map<String, String> given = Contracts.options(arguments);
        String topic = given.getOrDefault("prefix", "reprieve.") + "payments";
        var contracts = new Contracts(Path.of(given.get("contracts")), given.get("registry"));
        // Acknowledged by all replicas, and once however often it is tried again: both are defaults, said for the reader.
        Map<String, Object> properties = Map.of(
                "bootstrap.servers", given.getOrDefault("bootstrap", "127.0.0.1:9092"),
                "acks", "all",
                "enable.idempotence", true);
        var failed = new AtomicInteger();
        var first = new AtomicReference<Exception>();
        try (var producer = new KafkaProducer<>(properties, new StringSerializer(), new ByteArraySerializer())) {
            for (String line : rows(Path.of(given.get("file")))) {
                GenericRecord payment = payment(contracts.record("PaymentReceived"), line.split(",", -1));
                // Everything about one account is on one partition, by its key, in its order.
                String account = payment.get("account_id").toString();
                producer.send(new ProducerRecord<>(topic, account, contracts.encode(payment, topic)), (place, error) -> {
                    if (error != null) {
                        failed.incrementAndGet();
                        first.compareAndSet(null, error);
                    }
                });
            }
        }
        if (failed.get() > 0) {
            System.err.println(failed + " payments were not taken: " + first.get().getMessage() + ". Send the file again.");
            System.exit(1);
        }
    }

    private static List<String> rows(Path file) throws IOException {
        List<String> lines = Files.readAllLines(file, StandardCharsets.UTF_8);
        String expected = "payment_id,account_id,amount,currency,value_on,channel";
        if (lines.isEmpty() || !lines.get(0).equals(expected)) {
            throw new IOException("The first line of " + file + " must be " + expected);
        }
        return lines.subList(1, lines.size());
    }

    private static GenericRecord payment(GenericRecord record, String[] row) {
        LocalDate valueOn = LocalDate.parse(row[4]);
        byte[] name = ("payment/" + row[0]).getBytes(StandardCharsets.UTF_8);
        record.put("event_id", UUID.nameUUIDFromBytes(name).toString());
        record.put("occurred_at", valueOn.atTime(LocalTime.of(10, 0)).toInstant(ZoneOffset.UTC));
        record.put("source", "payment-system");
        record.put("payment_id", row[0]);
        record.put("account_id", row[1]);
        record.put("amount", Long.parseLong(row[2]));
        record.put("currency", row[3]);
        record.put("value_on", valueOn);
        record.put("channel", row[5]);
        return record;
    }
}
