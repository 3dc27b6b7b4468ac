/*
 * /v7/monitors: BGP monitors. No measure type of this version speaks with one, so there are none.
 */
#include "server/api/api.h"

static const char *const types[] = {"public", "private", NULL};

struct monitor {
    uint64_t id;
    const char *name, *ip_address, *network, *country;
    int type;
};
static const struct field monitor_fields[] = {
    FIELD_ID(struct monitor, id, "monitorId", (.flags = FIELD_READONLY), "Its id"),
    FIELD_STR(struct monitor, name, "monitorName", (), "Its name"),
    FIELD_STR(struct monitor, ip_address, "ipAddress", (), "Its address"),
    FIELD_STR(struct monitor, network, "network", (), "Its autonomous system"),
    FIELD_STR(struct monitor, country, "countryId", (.flags = FIELD_READONLY), "ISO 3166 country code"),
    FIELD_ENUM(struct monitor, type, "monitorType", types, (), "Who may use it"),
};
static const struct field_table monitor_table =
    FIELD_TABLE("BgpMonitor", struct monitor, monitor_fields, NULL, "A BGP monitor");

static int get_monitors(struct request *request, struct error *err)
{
    (void)err;
    request_answer(request, 200, json_pack("{s:[]}", "monitors"));
    return 0;
}

const struct route api_monitor_routes[] = {
    ROUTE("GET", "/v7/monitors", PERMISSION_VIEW_BGP_MONITORS, "getBgpMonitors", get_monitors,
          (.response = &monitor_table, .list = "monitors", .flags = ROUTE_V7), "List BGP monitors"),
    {0},
};
