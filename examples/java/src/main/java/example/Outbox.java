package example;

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.avro.generic.GenericRecord;

/**
 * What is to be told to borrowers, in a database. What was read and how far it was read are one transaction, so a crash
 * loses and doubles nothing, whatever Kafka knows of this service.
 */
public final class Outbox implements AutoCloseable {
    /** An offer that may be told. */
    public record Due(String offer, String borrower, String channels, String message) {}

    private final Connection database;

    public Outbox(String url) throws SQLException {
        database = DriverManager.getConnection(url);
        database.setAutoCommit(false);
        run("CREATE TABLE IF NOT EXISTS offer (offer_id TEXT PRIMARY KEY, borrower_id TEXT NOT NULL, message TEXT NOT NULL,"
                + " channels TEXT NOT NULL, state TEXT NOT NULL)");
        run("CREATE TABLE IF NOT EXISTS hours (offer_id TEXT NOT NULL, not_before INTEGER NOT NULL,"
                + " not_after INTEGER NOT NULL, PRIMARY KEY (offer_id, not_before))");
        run("CREATE TABLE IF NOT EXISTS place (part INTEGER PRIMARY KEY, behind INTEGER NOT NULL)");
        database.commit();
    }

    /** Returns by partition where to go on. */
    public Map<Integer, Long> places() throws SQLException {
        var found = new TreeMap<Integer, Long>();
        try (var asked = database.createStatement();
                ResultSet rows = asked.executeQuery("SELECT part, behind FROM place")) {
            while (rows.next()) {
                found.put(rows.getInt(1), rows.getLong(2));
            }
        }
        return found;
    }

    /** Notes an event of the topic offers, and that it was read, at one stroke. record: null for one of no concern. */
    public void take(GenericRecord record, int partition, long offset) throws SQLException {
        try {
            if (record != null) {
                note(record);
            }
            run("INSERT INTO place VALUES (?, ?) ON CONFLICT (part) DO UPDATE SET behind = excluded.behind",
                    partition, offset + 1);
            database.commit();
        } catch (SQLException error) {
            database.rollback();
            throw error;
        }
    }

    private void note(GenericRecord record) throws SQLException {
        switch (record.getSchema().getName()) {
            case "OfferPublished" -> {
                var contact = (GenericRecord) record.get("contact");
                int added = run("INSERT INTO offer VALUES (?, ?, ?, ?, 'waiting') ON CONFLICT (offer_id) DO NOTHING",
                        record.get("offer_id").toString(),
                        record.get("borrower_id").toString(),
                        record.get("message").toString(),
                        String.join(",", ((List<?>) contact.get("channels")).stream().map(Object::toString).toList()));
                if (added > 0) {
                    hours(record.get("offer_id").toString(), contact);
                }
            }
            case "ContactRevised" -> {
                // Others have called the borrower meanwhile: the hours that the offer stated hold no longer.
                var contact = (GenericRecord) record.get("contact");
                run("UPDATE offer SET channels = ? WHERE offer_id = ?",
                        String.join(",", ((List<?>) contact.get("channels")).stream().map(Object::toString).toList()),
                        record.get("offer_id").toString());
                hours(record.get("offer_id").toString(), contact);
            }
            case "OfferWithdrawn", "OfferExpired" -> run(
                    "UPDATE offer SET state = 'over' WHERE offer_id = ? AND state = 'waiting'",
                    record.get("offer_id").toString());
            default -> {}
        }
    }

    /** Notes when a borrower may be reached: a window on each day; the first one alone in events of before. */
    private void hours(String offer, GenericRecord contact) throws SQLException {
        run("DELETE FROM hours WHERE offer_id = ?", offer);
        var stated = contact.hasField("windows") ? (List<?>) contact.get("windows") : List.of();
        for (Object one : stated.isEmpty() ? List.of(contact) : stated) {
            var window = (GenericRecord) one;
            run("INSERT INTO hours VALUES (?, ?, ?)",
                    offer,
                    ((Instant) window.get("not_before")).toEpochMilli(),
                    ((Instant) window.get("not_after")).toEpochMilli());
        }
    }

    /** Returns what may be told at an instant: within its hours, and neither withdrawn nor run out. */
    public List<Due> due(Instant now) throws SQLException {
        var found = new ArrayList<Due>();
        try (PreparedStatement asked = database.prepareStatement(
                "SELECT offer_id, borrower_id, channels, message FROM offer JOIN hours USING (offer_id)"
                        + " WHERE state = 'waiting' AND channels != ''"
                        + " AND not_before <= ? AND ? < not_after ORDER BY not_before, offer_id")) {
            asked.setLong(1, now.toEpochMilli());
            asked.setLong(2, now.toEpochMilli());
            try (ResultSet rows = asked.executeQuery()) {
                while (rows.next()) {
                    found.add(new Due(rows.getString(1), rows.getString(2), rows.getString(3), rows.getString(4)));
                }
            }
        }
        return found;
    }

    /**
     * Notes that an offer was told. Whoever sends does so before this, with the offer_id as the key by which the other
     * side knows a repetition: between the two a crash would tell it again.
     */
    public void sent(String offer) throws SQLException {
        run("UPDATE offer SET state = 'sent' WHERE offer_id = ?", offer);
        database.commit();
    }

    private int run(String sql, Object... values) throws SQLException {
        try (PreparedStatement statement = database.prepareStatement(sql)) {
            for (int n = 0; n < values.length; n++) {
                statement.setObject(n + 1, values[n]);
            }
            return statement.executeUpdate();
        }
    }

    @Override
    public void close() throws SQLException {
        database.close();
    }
}
