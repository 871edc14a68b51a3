package example;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.dataformat.yaml.YAMLMapper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.avro.Schema;
import org.apache.avro.SchemaNormalization;
import org.apache.avro.data.TimeConversions;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;

/**
 * Reads and writes Reprieve's events by its AsyncAPI document. Both framings are read: Avro's single-object encoding (the
 * bytes C3 01 and the schema's CRC-64 fingerprint) and Confluent's (the byte 00 and the schema's id in a registry). With a
 * registry Confluent's is written, as Reprieve itself does.
 */
public final class Contracts {
    private static final GenericData TIMES = new GenericData();

    static {
        TIMES.addLogicalTypeConversion(new TimeConversions.DateConversion());
        TIMES.addLogicalTypeConversion(new TimeConversions.TimestampMillisConversion());
    }

    private final Map<String, Schema> byName = new ConcurrentHashMap<>();
    private final Map<Long, Schema> byFingerprint = new ConcurrentHashMap<>();
    private final Map<Integer, Schema> byId = new ConcurrentHashMap<>();
    private final Map<String, Integer> ids = new ConcurrentHashMap<>();
    private final HttpClient http = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(10)).build();
    private final ObjectMapper json = new ObjectMapper();
    private final String registry;

    /** document: docs/asyncapi.yaml. registry: the address of its Confluent API, or null. */
    public Contracts(Path document, String registry) throws IOException {
        this.registry = registry;
        JsonNode messages = new YAMLMapper().readTree(document.toFile()).at("/components/messages");
        for (var message : messages.properties()) {
            Schema schema = new Schema.Parser().parse(message.getValue().at("/payload/schema").toString());
            byName.put(message.getKey(), schema);
            byFingerprint.put(SchemaNormalization.parsingFingerprint64(schema), schema);
        }
    }

    /** Returns an empty record; its fields with defaults are set by {@link #encode}. */
    public GenericRecord record(String name) {
        return new GenericData.Record(byName.get(name));
    }

    /** Returns a record's bytes for a topic. */
    public byte[] encode(GenericRecord record, String topic) {
        Schema schema = record.getSchema();
        for (Schema.Field field : schema.getFields()) {
            if (record.get(field.pos()) == null && field.hasDefaultValue()) {
                record.put(field.pos(), TIMES.getDefaultValue(field));
            }
        }
        try (var out = new ByteArrayOutputStream()) {
            if (registry == null) {
                long print = SchemaNormalization.parsingFingerprint64(schema);
                out.write(new byte[] {(byte) 0xC3, 0x01});
                out.write(ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(print).array());
            } else {
                out.write(0);
                out.write(ByteBuffer.allocate(4).putInt(idOf(schema, topic)).array());
            }
            BinaryEncoder encoder = EncoderFactory.get().directBinaryEncoder(out, null);
            new GenericDatumWriter<GenericRecord>(schema, TIMES).write(record, encoder);
            return out.toByteArray();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /**
     * Returns a record as this document knows it: fields that a newer writer added are left out, and those that an older
     * one did not know have their defaults. Returns null for a kind of record that this document does not have.
     */
    public GenericRecord decode(byte[] value) {
        ByteBuffer bytes = ByteBuffer.wrap(value);
        Schema writer;
        if (value.length > 10 && value[0] == (byte) 0xC3 && value[1] == 0x01) {
            // An older writer's schema would be one of an older document: load that too.
            writer = byFingerprint.get(bytes.order(ByteOrder.LITTLE_ENDIAN).getLong(2));
            bytes.position(10);
        } else if (value.length > 5 && value[0] == 0) {
            writer = byId.computeIfAbsent(bytes.getInt(1), this::schemaOf);
            bytes.position(5);
        } else {
            throw new IllegalArgumentException("This is in neither framing.");
        }
        Schema reader = writer == null ? null : byName.get(writer.getName());
        if (reader == null) {
            return null;
        }
        try {
            var decoder = DecoderFactory.get().binaryDecoder(value, bytes.position(), bytes.remaining(), null);
            return new GenericDatumReader<GenericRecord>(writer, reader, TIMES).read(null, decoder);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private int idOf(Schema schema, String topic) {
        // One subject for each record of each topic. Its newest version may be of a release that is newer than the document.
        String versions = "/subjects/" + topic + "-" + schema.getFullName() + "/versions";
        return ids.computeIfAbsent(versions, path -> {
            long print = SchemaNormalization.parsingFingerprint64(schema);
            for (JsonNode version : ask(path)) {
                JsonNode found = ask(path + "/" + version.intValue());
                Schema registered = new Schema.Parser().parse(found.get("schema").textValue());
                if (SchemaNormalization.parsingFingerprint64(registered) == print) {
                    return found.get("id").intValue();
                }
            }
            throw new IllegalStateException("The registry has no such schema under " + path + "; register it first.");
        });
    }

    private Schema schemaOf(int id) {
        JsonNode found = ask("/schemas/ids/" + id);
        return new Schema.Parser().parse(found.get("schema").textValue());
    }

    private JsonNode ask(String path) {
        var request = HttpRequest.newBuilder(URI.create(registry + path)).timeout(Duration.ofSeconds(30)).build();
        try {
            var answer = http.send(request, HttpResponse.BodyHandlers.ofString());
            if (answer.statusCode() != 200) {
                throw new IOException("The registry answers " + answer.statusCode() + " to " + path + ": " + answer.body());
            }
            return json.readTree(answer.body());
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("Interrupted while asking the registry.", error);
        }
    }

    /** Returns the pairs `--name value` of a command line. */
    static Map<String, String> options(String[] arguments) {
        if (arguments.length % 2 != 0) {
            throw new IllegalArgumentException("Options come in pairs: --name value.");
        }
        var given = new HashMap<String, String>();
        for (int n = 0; n < arguments.length; n += 2) {
            given.put(arguments[n].replaceFirst("^--", ""), arguments[n + 1]);
        }
        return given;
    }
}
