/* facts_mmdb FILE TYPE {PREFIX FIELDS}...: writes a database for checks of whole programs; see mmdb.h. */
#include <stdio.h>

#include "facts/mmdb.h"

int main(int argc, char **argv)
{
    if (argc < 5 || argc % 2 == 0) {
        (void)fprintf(stderr, "usage: facts_mmdb FILE TYPE {PREFIX FIELDS}...\n");
        return 2;
    }
    struct mmdb_write *write = mmdb_write_new(argv[2], 6, 28, 1790000000);
    for (int i = 3; i + 1 < argc; i += 2)
        mmdb_write_put(write, argv[i], argv[i + 1]);
    struct error err;
    int rc = mmdb_write_file(write, argv[1], &err);
    if (rc)
        (void)fprintf(stderr, "facts_mmdb: %s: %s\n", err.where, err.text);
    mmdb_write_free(write);
    return rc ? 1 : 0;
}
