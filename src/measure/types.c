#include "measure/type.h"

#include "base/str.h"
#include "measure_list.h"

#define MEASURE_TYPE(name) extern const struct measure_type name##_type;
MEASURE_LIST
#undef MEASURE_TYPE

#define MEASURE_TYPE(name) &name##_type,
const struct measure_type *const measure_types[] = {MEASURE_LIST NULL};

const struct measure_type *measure_type_find(const char *name)
{
    for (const struct measure_type *const *type = measure_types; *type; type++) {
        if (str_equal((*type)->name, name))
            return *type;
    }
    return NULL;
}
