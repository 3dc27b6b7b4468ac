/* Checks of network and place of addresses, over databases made here. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "facts/geo.h"
#include "facts/mmdb.h"

#define BUILT_S 1790000000u

struct stage {
    char root[64], dir[96], scratch[96];
    struct geo_options options;
    struct geo *geo;
    unsigned reports, opened;
    struct error last;
    char type[64];
    int64_t built_s;
};

static void on_report(void *user, const struct error *err)
{
    struct stage *stage = user;
    stage->reports++;
    stage->last = *err;
}

static void on_opened(void *user, const struct geo_database *database)
{
    struct stage *stage = user;
    stage->opened++;
    stage->built_s = database->built_s;
    (void)snprintf(stage->type, sizeof stage->type, "%s", database->type);
    assert_non_null(strstr(database->path, ".mmdb"));
}

static int set_up(void **state)
{
    struct stage *stage = mem_alloc(sizeof *stage);
    (void)snprintf(stage->root, sizeof stage->root, "/tmp/oculi-geo-XXXXXX");
    assert_non_null(mkdtemp(stage->root));
    (void)snprintf(stage->dir, sizeof stage->dir, "%s/geo", stage->root);
    (void)snprintf(stage->scratch, sizeof stage->scratch, "%s/scratch", stage->root);
    assert_int_equal(mkdir(stage->dir, 0755), 0);
    assert_int_equal(mkdir(stage->scratch, 0755), 0);
    stage->options = (struct geo_options){
        .dir = stage->dir, .scratch_dir = stage->scratch, .report = on_report, .opened = on_opened, .user = stage};
    stage->geo = geo_new(&stage->options);
    *state = stage;
    return 0;
}

static void empty(const char *path)
{
    DIR *dir = opendir(path);
    for (const struct dirent *entry; dir && (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    }
    if (dir)
        (void)closedir(dir);
    (void)rmdir(path);
}

static int tear_down(void **state)
{
    struct stage *stage = *state;
    geo_free(stage->geo);
    empty(stage->dir);
    assert_int_equal(rmdir(stage->scratch), 0); /* nothing is left there */
    assert_int_equal(rmdir(stage->root), 0);
    mem_free(stage);
    return 0;
}

static const char *path_of(const struct stage *stage, const char *name)
{
    static char path[200];
    (void)snprintf(path, sizeof path, "%s/%s", stage->dir, name);
    return path;
}

static void refresh(struct stage *stage)
{
    while (geo_refresh(stage->geo))
        ;
}

static void write_one(struct stage *stage, const char *name, const char *type, const char *prefix, const char *fields)
{
    struct mmdb_write *write = mmdb_write_new(type, 6, 24, BUILT_S);
    mmdb_write_put(write, prefix, fields);
    assert_int_equal(mmdb_write_file(write, path_of(stage, name), NULL), 0);
    mmdb_write_free(write);
}

static void write_bytes(struct stage *stage, const char *name, const void *bytes, size_t size)
{
    assert_int_equal(file_write(path_of(stage, name), bytes, size, 0644, NULL), 0);
}

/* "prefix | network | location | country", - for what is not known. */
static const char *facts(struct stage *stage, const char *address)
{
    static char text[1024];
    union sock_addr addr;
    struct geo_facts facts = {0};
    assert_int_equal(sock_parse_ip(address, &addr), 0);
    if (!geo_find(stage->geo, &addr, &facts))
        return "nothing";
    (void)snprintf(text, sizeof text, "%s | %s | %s | %s", facts.prefix ? facts.prefix : "-",
                   facts.network ? facts.network : "-", facts.location ? facts.location : "-",
                   facts.country ? facts.country : "-");
    return text;
}

static void expect_report(struct stage *stage, unsigned reports, int code, const char *where, const char *text)
{
    if (stage->reports != reports || stage->last.code != code || !strstr(stage->last.where, where) ||
        !strstr(stage->last.text, text))
        fail_msg("report %u: %d %s: %s", stage->reports, stage->last.code, stage->last.where, stage->last.text);
}

/* --- checks ------------------------------------------------------------------------------------------------------- */

#define DELFT                                                                                                          \
    "city.names.en=Delft;subdivisions.0.names.en=South Holland;country.iso_code=NL;country.names.en=Netherlands"

static void databases_say_network_and_place(void **state)
{
    static const struct {
        uint16_t ip_version, record_size;
    } forms[] = {{6, 24}, {6, 28}, {6, 32}, {4, 24}, {4, 28}};
    struct stage *stage = *state;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct mmdb_write *asn = mmdb_write_new("GeoLite2-ASN", forms[i].ip_version, forms[i].record_size, BUILT_S + i);
        mmdb_write_put(asn, "20.0.0.0/8", "autonomous_system_number=#64500;autonomous_system_organization=Example One");
        mmdb_write_put(asn, "20.1.128.0/17", "autonomous_system_number=#4200000001");
        mmdb_write_put(asn, "20.2.0.0/16", "autonomous_system_organization=Nameless");
        if (forms[i].ip_version == 6)
            mmdb_write_put(asn, "2a00:100::/32",
                           "autonomous_system_number=#64501;autonomous_system_organization=Six & Sons");
        assert_int_equal(mmdb_write_file(asn, path_of(stage, "asn.mmdb"), NULL), 0);
        mmdb_write_free(asn);
        struct mmdb_write *city = mmdb_write_new("GeoIP2-City", forms[i].ip_version, forms[i].record_size, BUILT_S);
        mmdb_write_put(city, "20.0.0.0/8", "country.iso_code=NL;country.names.en=Netherlands");
        mmdb_write_put(city, "20.1.2.0/24", DELFT);
        mmdb_write_put(city, "20.1.3.0/24", "city.names.en=Singapore;country.iso_code=SG;country.names.en=Singapore");
        mmdb_write_put(city, "20.1.4.0/24", "country.iso_code=FR");
        mmdb_write_put(city, "20.1.5.0/24", "location.time_zone=Europe/Paris");
        assert_int_equal(mmdb_write_file(city, path_of(stage, "city.mmdb"), NULL), 0);
        mmdb_write_free(city);
        refresh(stage);
        assert_int_equal(geo_count(stage->geo), 2);
        assert_string_equal(facts(stage, "20.1.2.3"),
                            "20.1.0.0/17 | Example One (AS 64500) | Delft, South Holland, Netherlands | NL");
        assert_string_equal(facts(stage, "20.1.200.3"), "20.1.128.0/17 | AS 4200000001 | Netherlands | NL");
        assert_string_equal(facts(stage, "20.1.3.9"), "20.1.0.0/17 | Example One (AS 64500) | Singapore | SG");
        assert_string_equal(facts(stage, "20.1.4.9"), "20.1.0.0/17 | Example One (AS 64500) | FR | FR");
        assert_string_equal(facts(stage, "20.1.5.9"), "20.1.0.0/17 | Example One (AS 64500) | - | -");
        assert_string_equal(facts(stage, "20.2.0.1"), "- | - | Netherlands | NL");
        assert_string_equal(facts(stage, "21.0.0.1"), "nothing");
        assert_string_equal(facts(stage, "2a00:100::1"),
                            forms[i].ip_version == 6 ? "2a00:100::/32 | Six & Sons (AS 64501) | - | -" : "nothing");
        assert_string_equal(facts(stage, "::ffff:20.1.2.3"), facts(stage, "20.1.2.3"));
    }
    assert_int_equal(stage->reports, 0);
}

static void types_say_what_they_tell(void **state)
{
    static const struct {
        const char *type, *fields, *expected;
    } cases[] = {
        {"GeoLite2-Country", DELFT, "- | - | Delft, South Holland, Netherlands | NL"},
        {"GeoIP2-ISP", "autonomous_system_number=#7;autonomous_system_organization=Seven;isp=Other",
         "20.0.0.0/8 | Seven (AS 7) | - | -"},
        {"GeoIP2-Enterprise", DELFT ";traits.autonomous_system_number=#7;traits.autonomous_system_organization=Seven",
         "20.0.0.0/8 | Seven (AS 7) | Delft, South Holland, Netherlands | NL"},
        {"DBIP-ASN-Lite (compat=GeoLite2-ASN)", "autonomous_system_number=#7;autonomous_system_organization=Seven",
         "20.0.0.0/8 | Seven (AS 7) | - | -"},
        {"ipinfo lite.mmdb", "asn=AS7;as_name=Seven;country=Netherlands;country_code=NL",
         "20.0.0.0/8 | Seven (AS 7) | Netherlands | NL"},
        {"ipinfo standard_location.mmdb", "city=Delft;region=South Holland;country=NL",
         "- | - | Delft, South Holland, NL | NL"},
        {"GeoLite2-ASN", "autonomous_system_number=#7;autonomous_system_organization=#1 Network of them all, they say",
         "20.0.0.0/8 | #1 Network of them all, they say (AS 7) | - | -"},
        {"GeoLite2-ASN", "autonomous_system_number=#7;autonomous_system_organization=", "20.0.0.0/8 | AS 7 | - | -"},
        /* A type tells nothing but what it says it tells; fields of the wrong kind are none. */
        {"GeoLite2-City", "autonomous_system_number=#7;city.names.en=Delft", "- | - | Delft | -"},
        {"GeoLite2-ASN", "autonomous_system_number=#7;city.names.en=Delft", "20.0.0.0/8 | AS 7 | - | -"},
        {"GeoLite2-ASN", "autonomous_system_number=seven;autonomous_system_organization=Seven", "nothing"},
        {"GeoLite2-ASN", "autonomous_system_number=#0;autonomous_system_organization=None", "nothing"},
        {"GeoLite2-ASN", "autonomous_system_number=#7;autonomous_system_organization=#7", "20.0.0.0/8 | AS 7 | - | -"},
        {"GeoLite2-City", "city=#7;country.iso_code=ZZ", "nothing"},
        {"GeoLite2-City", "city.names=Delft", "nothing"},
        {"ipinfo", "asn=AS99999999999;name=Much", "nothing"},
        {"GeoLite2-City", "city.names.en=\xff\xfe;country.names.en=Good", "- | - | Good | -"},
        {"GeoLite2-City", "city.names.en=\033[2J;country.names.en=S\xc3\xa3o", "- | - | S\xc3\xa3o | -"},
    };
    struct stage *stage = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_one(stage, "one.mmdb", cases[i].type, "20.0.0.0/8", cases[i].fields);
        refresh(stage);
        assert_int_equal(stage->opened, i + 1);
        assert_string_equal(stage->type, cases[i].type);
        assert_int_equal(stage->built_s, BUILT_S);
        if (strcmp(facts(stage, "20.1.1.1"), cases[i].expected) != 0)
            fail_msg("case %zu: %s", i, facts(stage, "20.1.1.1"));
    }
    assert_int_equal(stage->reports, 0);
}

static void the_best_database_speaks(void **state)
{
    struct stage *stage = *state;
    write_one(stage, "a-country.mmdb", "GeoLite2-Country", "20.0.0.0/8", "country.names.en=Netherlands");
    write_one(stage, "b-city.mmdb", "GeoLite2-City", "20.1.0.0/16", DELFT);
    struct mmdb_write *newer = mmdb_write_new("DBIP-City-Lite", 4, 28, BUILT_S + 1);
    mmdb_write_put(newer, "20.1.1.0/24", "city.names.en=Leiden");
    assert_int_equal(mmdb_write_file(newer, path_of(stage, "c-city.mmdb"), NULL), 0);
    mmdb_write_free(newer);
    refresh(stage);
    assert_int_equal(geo_count(stage->geo), 3);
    assert_string_equal(facts(stage, "20.1.1.1"), "- | - | Leiden | -");
    assert_string_equal(facts(stage, "20.1.2.1"), "- | - | Delft, South Holland, Netherlands | NL");
    assert_string_equal(facts(stage, "20.2.2.1"), "- | - | Netherlands | -");
}

static void private_addresses_are_the_operators(void **state)
{
    struct stage *stage = *state;
    struct mmdb_write *all = mmdb_write_new("GeoLite2-City", 6, 24, BUILT_S);
    mmdb_write_put(all, "0.0.0.0/1", "city.names.en=Nowhere");
    mmdb_write_put(all, "128.0.0.0/1", "city.names.en=Nowhere");
    mmdb_write_put(all, "fc00::/7", "city.names.en=Nowhere");
    assert_int_equal(mmdb_write_file(all, path_of(stage, "all.mmdb"), NULL), 0);
    mmdb_write_free(all);
    refresh(stage);
    static const char *const special[] = {"10.1.2.3",   "192.168.1.1", "100.64.1.1", "127.0.0.1", "192.0.2.1",
                                          "198.18.0.1", "224.0.0.1",   "fd00::1",    "fe80::1",   "::ffff:10.1.2.3"};
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++)
        assert_string_equal(facts(stage, special[i]), "nothing");
    assert_string_equal(facts(stage, "8.8.8.8"), "- | - | Nowhere | -");
    write_one(stage, "own.mmdb", "Example-Private-City", "10.0.0.0/8", "city.names.en=Our building");
    refresh(stage);
    assert_string_equal(facts(stage, "10.1.2.3"), "- | - | Our building | -");
    struct geo_facts named;
    union sock_addr addr;
    assert_int_equal(sock_parse_ip("10.1.2.3", &addr), 0);
    assert_true(geo_find(stage->geo, &addr, &named) && !named.name);
    write_one(stage, "own.mmdb", "Example-Private-City", "10.0.0.0/8",
              "city.names.en=Our building;hostname=core-1.example");
    refresh(stage);
    assert_true(geo_find(stage->geo, &addr, &named));
    assert_string_equal(named.name, "core-1.example");
    write_one(stage, "own.mmdb", "Example-Private-City", "10.0.0.0/8", "city.names.en=Our building;hostname=<b>");
    refresh(stage);
    assert_true(geo_find(stage->geo, &addr, &named) && !named.name);
    assert_string_equal(facts(stage, "192.168.1.1"), "nothing");
    assert_string_equal(facts(stage, "8.8.8.8"), "- | - | Nowhere | -");
}

static void files_come_change_and_go(void **state)
{
    struct stage *stage = *state;
    refresh(stage);
    assert_string_equal(facts(stage, "20.1.1.1"), "nothing");
    uint64_t generation = geo_generation(stage->geo);
    write_one(stage, "x.mmdb", "GeoLite2-City", "20.0.0.0/8", "city.names.en=Delft");
    write_one(stage, ".hidden.mmdb", "GeoLite2-City", "20.0.0.0/8", "city.names.en=Hidden");
    write_one(stage, "README", "GeoLite2-City", "20.0.0.0/8", "city.names.en=Text");
    assert_int_equal(mkdir(path_of(stage, "dir.mmdb"), 0755), 0);
    assert_string_equal(facts(stage, "20.1.1.1"), "nothing");
    refresh(stage);
    assert_string_equal(facts(stage, "20.1.1.1"), "- | - | Delft | -");
    assert_true(geo_generation(stage->geo) > generation);
    generation = geo_generation(stage->geo);
    refresh(stage); /* nothing is new */
    assert_int_equal(geo_generation(stage->geo), generation);
    assert_int_equal(stage->opened, 1);
    write_one(stage, "x.mmdb", "GeoLite2-City", "20.0.0.0/8", "city.names.en=Gouda");
    refresh(stage);
    assert_string_equal(facts(stage, "20.1.1.1"), "- | - | Gouda | -");
    assert_true(geo_generation(stage->geo) > generation);

    /* Overwritten in place and cut: what is mapped is a copy. */
    assert_int_equal(truncate(path_of(stage, "x.mmdb"), 0), 0);
    assert_string_equal(facts(stage, "20.9.9.9"), "- | - | Gouda | -");
    refresh(stage);
    expect_report(stage, 1, E_CORRUPT, "/geo/x.mmdb", "what it held before is still used");
    assert_string_equal(facts(stage, "20.1.1.1"), "- | - | Gouda | -");
    refresh(stage);
    assert_int_equal(stage->reports, 1);
    write_one(stage, "x.mmdb", "GeoLite2-City", "20.0.0.0/8", "city.names.en=Breda");
    refresh(stage);
    assert_string_equal(facts(stage, "20.1.1.1"), "- | - | Breda | -");
    assert_int_equal(unlink(path_of(stage, "x.mmdb")), 0);
    refresh(stage);
    assert_string_equal(facts(stage, "20.1.1.1"), "nothing");
    assert_int_equal(geo_count(stage->geo), 0);
    assert_int_equal(stage->reports, 1);
    assert_int_equal(rmdir(path_of(stage, "dir.mmdb")), 0);
}

static void bad_files_are_named_and_the_others_used(void **state)
{
    struct stage *stage = *state;
    static const struct {
        const char *name, *bytes;
        int code;
        const char *text;
    } cases[] = {
        {"empty.mmdb", "", E_CORRUPT, "cannot be used"},
        {"text.mmdb", "this is a text", E_CORRUPT, "no whole database in MaxMind's format"},
        {"half.mmdb", "\xab\xcd\xefMaxMind.com", E_CORRUPT, "no whole database"},
        {"GeoLite2-City.tar.gz", "\x1f\x8b", E_NOT_SUPPORTED, "only files that end in .mmdb"},
        {"GeoLite2-City-Blocks.csv", "a,b", E_NOT_SUPPORTED, "only files that end in .mmdb"},
    };
    write_one(stage, "good.mmdb", "GeoLite2-City", "20.0.0.0/8", "city.names.en=Delft");
    refresh(stage);
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_bytes(stage, cases[i].name, cases[i].bytes, strlen(cases[i].bytes));
        refresh(stage);
        refresh(stage);
        expect_report(stage, i + 1, cases[i].code, cases[i].name, cases[i].text);
        assert_null(strstr(stage->last.text, "still used"));
    }
    write_one(stage, "other.mmdb", "GeoIP2-Anonymous-IP", "20.0.0.0/8", "is_anonymous=#1");
    refresh(stage);
    expect_report(stage, 6, E_NOT_SUPPORTED, "other.mmdb", "\"GeoIP2-Anonymous-IP\" says nothing");
    assert_string_equal(facts(stage, "20.1.1.1"), "- | - | Delft | -");
    assert_int_equal(geo_count(stage->geo), 1);
}

/* Every byte of a database changed, every length cut: an error or other words, never a crash. */
static void damaged_databases_do_not_crash(void **state)
{
    struct stage *stage = *state;
    struct buf bytes;
    buf_init(&bytes, 1u << 20);
    struct mmdb_write *write = mmdb_write_new("ipinfo ASN City", 4, 24, BUILT_S);
    mmdb_write_put(write, "20.0.0.0/7",
                   DELFT ";autonomous_system_number=#7;autonomous_system_organization=Seven;x=#1;asn=AS7");
    assert_int_equal(mmdb_write_bytes(write, &bytes, NULL), 0);
    mmdb_write_free(write);
    geo_free(stage->geo);
    stage->options.scratch_dir = NULL;
    unsigned char *copy = mem_alloc(bytes.size);
    for (size_t i = 0; i < bytes.size * 3; i++) {
        memcpy(copy, bytes.data, bytes.size);
        if (i < 2 * bytes.size)
            copy[i % bytes.size] ^= (unsigned char)(i < bytes.size ? 0xff : 1u << (i % 8));
        write_bytes(stage, "x.mmdb", copy, i < 2 * bytes.size ? bytes.size : i - 2 * bytes.size);
        stage->geo = geo_new(&stage->options);
        refresh(stage);
        (void)facts(stage, "20.1.1.1");
        (void)facts(stage, "20.200.1.1");
        (void)facts(stage, "21.1.1.1");
        (void)facts(stage, "2a00::1");
        geo_free(stage->geo);
    }
    mem_free(copy);
    buf_done(&bytes);
    assert_true(stage->reports > 100);
    stage->geo = geo_new(&stage->options);
}

static void a_damaged_record_is_told_once(void **state)
{
    struct stage *stage = *state;
    struct buf bytes;
    buf_init(&bytes, 1u << 20);
    struct mmdb_write *write = mmdb_write_new("GeoLite2-City", 4, 24, BUILT_S);
    mmdb_write_put(write, "20.0.0.0/8", "city.names.en=Delft");
    assert_int_equal(mmdb_write_bytes(write, &bytes, NULL), 0);
    mmdb_write_free(write);
    unsigned char *leaf = memmem(bytes.data, bytes.size, "Delft", 5);
    assert_non_null(leaf);
    leaf[-1] = 0x5d; /* as long as 29 and more: beyond the end */
    leaf[0] = 0xff;
    write_bytes(stage, "x.mmdb", bytes.data, bytes.size);
    write_one(stage, "y.mmdb", "GeoLite2-Country", "20.0.0.0/8", "country.names.en=Netherlands");
    refresh(stage);
    assert_string_equal(facts(stage, "20.1.1.1"), "- | - | Netherlands | -");
    assert_string_equal(facts(stage, "20.1.1.2"), "- | - | Netherlands | -");
    expect_report(stage, 1, E_CORRUPT, "x.mmdb", "damaged");
    buf_done(&bytes);
}

static void large_files_are_copied_piece_by_piece(void **state)
{
    enum { PADDING = 9 << 20 };
    struct stage *stage = *state;
    struct buf bytes, large;
    buf_init(&bytes, 1u << 20);
    buf_init(&large, 16u << 20);
    struct mmdb_write *write = mmdb_write_new("GeoLite2-City", 6, 28, BUILT_S);
    mmdb_write_put(write, "20.0.0.0/8", "city.names.en=Delft");
    assert_int_equal(mmdb_write_bytes(write, &bytes, NULL), 0);
    mmdb_write_free(write);
    const unsigned char *end = memmem(bytes.data, bytes.size, "\xab\xcd\xefMaxMind.com", 14);
    size_t before = (size_t)(end - bytes.data);
    buf_put(&large, bytes.data, before);
    memset(buf_reserve(&large, PADDING), 0, PADDING);
    buf_grow(&large, PADDING);
    buf_put(&large, end, bytes.size - before);
    write_bytes(stage, "large.mmdb", large.data, large.size);
    unsigned steps = 0;
    while (geo_refresh(stage->geo)) {
        steps++;
        if (steps == 2) { /* changed while it is copied: nothing of a mixture is used */
            write_bytes(stage, "large.mmdb", large.data, large.size - 1);
            write_bytes(stage, "large.mmdb", large.data, large.size);
            assert_int_equal(truncate(path_of(stage, "large.mmdb"), (off_t)large.size), 0);
        }
    }
    assert_true(steps > 3);
    assert_string_equal(facts(stage, "20.1.1.1"), "- | - | Delft | -");
    assert_int_equal(stage->reports, 0);
    write_bytes(stage, "large.mmdb", large.data, large.size);
    assert_true(geo_refresh(stage->geo)); /* the check ends in the middle of a copy */
    buf_done(&bytes);
    buf_done(&large);
}

static void directories_may_come_later(void **state)
{
    struct stage *stage = *state;
    assert_int_equal(rmdir(stage->dir), 0);
    refresh(stage);
    refresh(stage);
    expect_report(stage, 1, E_NOT_FOUND, "/geo", "no databases are read");
    assert_int_equal(mkdir(stage->dir, 0755), 0);
    write_one(stage, "x.mmdb", "GeoLite2-City", "20.0.0.0/8", "city.names.en=Delft");
    refresh(stage);
    assert_string_equal(facts(stage, "20.1.1.1"), "- | - | Delft | -");
    write_one(stage, "y.mmdb", "GeoLite2-City", "20.0.0.0/8", "city.names.en=Delft");
    assert_int_equal(rmdir(stage->scratch), 0);
    refresh(stage);
    refresh(stage);
    expect_report(stage, 2, E_NOT_FOUND, "/geo/y.mmdb", "cannot be copied to");
    assert_int_equal(mkdir(stage->scratch, 0755), 0);
    refresh(stage);
    assert_int_equal(geo_count(stage->geo), 2);
}

static void there_are_ceilings(void **state)
{
    struct stage *stage = *state;
    write_one(stage, "x.mmdb", "GeoLite2-City", "20.0.0.0/8", DELFT);
    geo_free(stage->geo);
    stage->options.max_addresses = 5;
    stage->geo = geo_new(&stage->options);
    refresh(stage);
    for (unsigned i = 0; i < 1000; i++) {
        char address[32];
        (void)snprintf(address, sizeof address, "20.%u.1.1", i % 13);
        assert_string_equal(facts(stage, address), "- | - | Delft, South Holland, Netherlands | NL");
    }
    for (unsigned i = 0; i < 40; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "n%u.mmdb", i);
        write_one(stage, name, "GeoLite2-City", "20.0.0.0/8", DELFT);
    }
    refresh(stage);
    assert_int_equal(geo_count(stage->geo), 32);
    assert_int_equal(stage->reports, 1);
    assert_int_equal(stage->last.code, E_LIMIT);
}

static void nothing_is_fine(void **state)
{
    struct stage *stage = *state;
    struct geo_facts facts_of;
    union sock_addr unset = {0}, addr;
    assert_int_equal(sock_parse_ip("20.1.1.1", &addr), 0);
    assert_false(geo_find(NULL, &addr, &facts_of));
    assert_false(geo_find(stage->geo, &unset, &facts_of));
    assert_int_equal(geo_generation(NULL), 0);
    assert_int_equal(geo_count(NULL), 0);
    geo_free(NULL);
}

#define CHECK(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest checks[] = {
        CHECK(databases_say_network_and_place),
        CHECK(types_say_what_they_tell),
        CHECK(the_best_database_speaks),
        CHECK(private_addresses_are_the_operators),
        CHECK(files_come_change_and_go),
        CHECK(bad_files_are_named_and_the_others_used),
        CHECK(damaged_databases_do_not_crash),
        CHECK(a_damaged_record_is_told_once),
        CHECK(large_files_are_copied_piece_by_piece),
        CHECK(directories_may_come_later),
        CHECK(there_are_ceilings),
        CHECK(nothing_is_fine),
    };
    return cmocka_run_group_tests(checks, NULL, NULL);
}
