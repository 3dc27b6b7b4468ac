#include "facts/geo_read.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "facts/names.h"

static bool has_word(const char *text, const char *word)
{
    size_t length = strlen(word);
    for (; *text; text++) {
        if (strncasecmp(text, word, length) == 0)
            return true;
    }
    return false;
}

int geo_read_kind(const char *database_type, struct geo_kind *ret_kind, struct error *err)
{
    static const struct {
        const char *word;
        uint8_t network, place;
    } words[] = {{"asn", 4, 0},     {"isp", 3, 0},        {"city", 0, 4},  {"location", 0, 4},
                 {"country", 0, 2}, {"enterprise", 2, 4}, {"ipinfo", 1, 1}};
    struct geo_kind kind = {0};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!has_word(database_type, words[i].word))
            continue;
        kind.network = words[i].network > kind.network ? words[i].network : kind.network;
        kind.place = words[i].place > kind.place ? words[i].place : kind.place;
    }
    if (!kind.network && !kind.place)
        return error_set(err, E_NOT_SUPPORTED, "",
                         "a database of type \"%.80s\" says nothing that is shown here; City, Country, ASN and ISP do",
                         database_type);
    kind.is_private = has_word(database_type, "private");
    *ret_kind = kind;
    return 0;
}

/* --- values ------------------------------------------------------------------------------------------------------- */

struct reading {
    MMDB_entry_s entry;
    bool is_damaged;
};

/* A path through maps and lists is a NULL-terminated list of keys. */
static bool get(struct reading *reading, const char *const *path, MMDB_entry_data_s *ret_data)
{
    int status = MMDB_aget_value(&reading->entry, ret_data, path);
    if (status == MMDB_SUCCESS)
        return ret_data->has_data;
    if (status != MMDB_LOOKUP_PATH_DOES_NOT_MATCH_DATA_ERROR && status != MMDB_INVALID_LOOKUP_PATH_ERROR)
        reading->is_damaged = true;
    return false;
}

/* Foreign text goes to terminals and pages: whole UTF-8, no control characters, cut where it is too long. */
static bool take_text(const MMDB_entry_data_s *data, char out[static GEO_TEXT_BYTES])
{
    if (data->type != MMDB_DATA_TYPE_UTF8_STRING || data->data_size == 0 ||
        !str_is_utf8(data->utf8_string, data->data_size))
        return false;
    size_t size = data->data_size < GEO_TEXT_BYTES ? data->data_size : GEO_TEXT_BYTES - 1;
    while (size < data->data_size && size > 0 && ((unsigned char)data->utf8_string[size] & 0xc0) == 0x80)
        size--; /* not in the middle of a character */
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)data->utf8_string[i];
        bool is_c1 = c == 0xc2 && i + 1 < size && (unsigned char)data->utf8_string[i + 1] < 0xa0;
        if (c < ' ' || c == 127 || is_c1)
            return false;
    }
    memcpy(out, data->utf8_string, size);
    out[size] = 0;
    return size > 0;
}

#define PATH(...) ((const char *const[]){__VA_ARGS__, NULL})

static bool get_text(struct reading *reading, const char *const *path, char out[static GEO_TEXT_BYTES])
{
    MMDB_entry_data_s data;
    return get(reading, path, &data) && take_text(&data, out);
}

static bool get_number(struct reading *reading, const char *const *path, uint32_t *ret_value)
{
    MMDB_entry_data_s data;
    if (!get(reading, path, &data))
        return false;
    if (data.type == MMDB_DATA_TYPE_UINT32)
        *ret_value = data.uint32;
    else if (data.type == MMDB_DATA_TYPE_UINT16)
        *ret_value = data.uint16;
    else
        return false;
    return *ret_value != 0;
}

/* "AS64500" */
static bool get_as_text(struct reading *reading, const char *const *path, uint32_t *ret_value)
{
    char text[GEO_TEXT_BYTES];
    uint64_t value;
    if (!get_text(reading, path, text) || strncasecmp(text, "AS", 2) != 0 ||
        str_to_u64(text + 2, UINT32_MAX, &value) != 0 || value == 0)
        return false;
    *ret_value = (uint32_t)value;
    return true;
}

static void read_network(struct reading *reading, struct geo_record *record)
{
    bool has_asn = get_number(reading, PATH("autonomous_system_number"), &record->asn) ||
                   get_number(reading, PATH("traits", "autonomous_system_number"), &record->asn) ||
                   get_as_text(reading, PATH("asn"), &record->asn);
    if (!has_asn)
        return;
    if (!get_text(reading, PATH("autonomous_system_organization"), record->organization) &&
        !get_text(reading, PATH("traits", "autonomous_system_organization"), record->organization) &&
        !get_text(reading, PATH("as_name"), record->organization))
        (void)get_text(reading, PATH("name"), record->organization);
    record->has_network = true;
}

static void read_place(struct reading *reading, struct geo_record *record)
{
    char iso[GEO_TEXT_BYTES];
    bool has_city =
        get_text(reading, PATH("city", "names", "en"), record->city) || get_text(reading, PATH("city"), record->city);
    bool has_region = get_text(reading, PATH("subdivisions", "0", "names", "en"), record->region) ||
                      get_text(reading, PATH("region"), record->region);
    bool has_country = get_text(reading, PATH("country", "names", "en"), record->country) ||
                       get_text(reading, PATH("country_name"), record->country) ||
                       get_text(reading, PATH("country"), record->country);
    bool has_iso = (get_text(reading, PATH("country", "iso_code"), iso) ||
                    get_text(reading, PATH("country_code"), iso) || get_text(reading, PATH("country"), iso)) &&
                   strlen(iso) == 2 && isupper((unsigned char)iso[0]) && isupper((unsigned char)iso[1]) &&
                   strcmp(iso, "ZZ") != 0;
    if (has_iso)
        memcpy(record->iso, iso, sizeof record->iso);
    record->has_place = has_city || has_region || has_country || has_iso;
}

int geo_read(const MMDB_s *mmdb, const struct geo_kind *kind, const union sock_addr *addr, struct geo_record *record,
             struct error *err)
{
    int status = MMDB_SUCCESS;
    MMDB_lookup_result_s found = MMDB_lookup_sockaddr(mmdb, &addr->sa, &status);
    if (status == MMDB_IPV6_LOOKUP_IN_IPV4_DATABASE_ERROR)
        return 0;
    if (status != MMDB_SUCCESS)
        return error_set(err, E_CORRUPT, "", "the database is damaged: %s", MMDB_strerror(status));
    if (!found.found_entry)
        return 0;
    struct reading reading = {.entry = found.entry};
    if (kind->network && !record->has_network) {
        read_network(&reading, record);
        unsigned skipped = addr->sa.sa_family == AF_INET && mmdb->metadata.ip_version == 6 ? 96 : 0;
        unsigned whole = addr->sa.sa_family == AF_INET ? 32 : 128;
        /* A block of one address is a record about that address, not a prefix. */
        record->has_prefix = record->has_network && found.netmask >= skipped && found.netmask - skipped < whole;
        record->prefix_length = (uint8_t)(record->has_prefix ? found.netmask - skipped : 0);
    }
    if (kind->place && !record->has_place)
        read_place(&reading, record);
    if (kind->is_private && !*record->name && get_text(&reading, PATH("hostname"), record->name) &&
        !names_is_host(record->name))
        record->name[0] = 0;
    return reading.is_damaged ? error_set(err, E_CORRUPT, "", "the database is damaged: a record cannot be read") : 0;
}

/* --- texts -------------------------------------------------------------------------------------------------------- */

bool geo_network_text(const struct geo_record *record, char *buf, size_t size)
{
    if (!record->has_network)
        return false;
    if (*record->organization)
        (void)snprintf(buf, size, "%s (AS %u)", record->organization, record->asn);
    else
        (void)snprintf(buf, size, "AS %u", record->asn);
    return true;
}

bool geo_location_text(const struct geo_record *record, char *buf, size_t size)
{
    const char *parts[] = {record->city, record->region, *record->country ? record->country : record->iso};
    const char *last = "";
    size_t used = 0;
    buf[0] = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && used < size; i++) {
        if (!*parts[i] || strcmp(parts[i], last) == 0)
            continue;
        int n = snprintf(buf + used, size - used, "%s%s", used ? ", " : "", parts[i]);
        used += n > 0 ? (size_t)n : 0;
        last = parts[i];
    }
    return used > 0;
}
