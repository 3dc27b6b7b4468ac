/*
 * /v7/emulated-devices and /v7/user-agents: what browser tests may pretend to be. Some devices come with the product;
 * others are made by users and are there for the whole organization.
 */
#include <string.h>

#include "server/api/api.h"
#include "server/change.h"

static const char *const categories[] = {"desktop", "laptop", "phone", "tablet", NULL};
enum { DESKTOP, LAPTOP, PHONE, TABLET };

struct device {
    struct object_head head;
    int category;
    int32_t width, height;
    const char *name, *code_name;
    const char *default_template;
    struct field_list templates; /* const char * */
};

#define R (.flags = FIELD_READONLY)
#define DEVICE_FIELDS                                                                                                  \
    FIELD_ENUM(struct device, category, "category", categories, (.flags = FIELD_REQUIRED), "What kind of device"),     \
    FIELD_I32(struct device, width, "width", (.flags = FIELD_REQUIRED, .min = 50, .max = 9999, .unit = "px"),          \
              "Width of its display"),                                                                                 \
    FIELD_I32(struct device, height, "height", (.flags = FIELD_REQUIRED, .min = 50, .max = 9999, .unit = "px"),        \
              "Height of its display")
static const struct field stored_fields[] = {DEVICE_FIELDS};
static const struct field_table device_request_table =
    FIELD_TABLE("EmulatedDevice", struct device, stored_fields, NULL, "A device to emulate");

static const struct field answer_fields[] = {
    FIELD_ID(struct device, head.id, "id", R, "Its id"),
    FIELD_STR(struct device, name, "name", R, "Its name"),
    FIELD_STR(struct device, code_name, "codeName", R, "Its name for programs"),
    DEVICE_FIELDS,
    FIELD_STRS(struct device, templates, "availableUserAgents", (.flags = FIELD_READONLY, .expand = "user-agent"),
               "User agents it may tell"),
    FIELD_STR(struct device, default_template, "defaultUserAgentTemplate",
              (.flags = FIELD_READONLY, .expand = "user-agent"), "The user agent it tells by itself"),
};
static const struct field_table device_table =
    FIELD_TABLE("EmulatedDeviceResponse", struct device, answer_fields, NULL, "A device that can be emulated");

const struct object_kind api_device_kind = {.name = "device",
                                               .table = &device_request_table,
                                               .key = OBJECT_NONE,
                                               .lookup = OBJECT_NONE,
                                               .title = "Emulated device",
                                               .resource = "deviceName",
                                               .label = OBJECT_NONE};

#define DESKTOP_AGENT "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
#define PHONE_AGENT                                                                                                    \
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36"
#define TABLET_AGENT                                                                                                   \
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"

struct user_agent {
    const char *browser, *os, *value;
};
static const struct field user_agent_fields[] = {
    FIELD_STR(struct user_agent, browser, "browser", (), "The browser"),
    FIELD_STR(struct user_agent, os, "os", (), "Its operating system"),
    FIELD_STR(struct user_agent, value, "value", (), "Text of the User-Agent header"),
};
static const struct field_table user_agent_table =
    FIELD_TABLE("UserAgent", struct user_agent, user_agent_fields, NULL, "A browser to pretend to be");

static const struct user_agent user_agents[] = {
    {"Chrome", "Linux", DESKTOP_AGENT},
    {"Chrome", "Windows",
     "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"},
    {"Chrome", "macOS",
     "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 "
     "Safari/537.36"},
    {"Chrome Mobile", "Android", PHONE_AGENT},
    {"Firefox", "Linux", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
    {"Firefox", "Windows", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"},
    {"Safari", "macOS",
     "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 "
     "Safari/605.1.15"},
    {"Safari Mobile", "iOS",
     "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 "
     "Mobile/15E148 Safari/604.1"},
};

/* Ids of those that come with the product; the store gives smaller ones. */
#define BUILTIN_ID 1000000000000ull
static const struct {
    const char *name, *code_name;
    int category;
    int32_t width, height;
} builtins[] = {
    {"Desktop", "desktop", DESKTOP, 1920, 1080},      {"Large desktop", "desktop-large", DESKTOP, 2560, 1440},
    {"Laptop", "laptop", LAPTOP, 1366, 768},          {"Laptop with touch", "laptop-touch", LAPTOP, 1280, 800},
    {"Phone", "phone", PHONE, 360, 800},              {"Small phone", "phone-small", PHONE, 320, 568},
    {"Large phone", "phone-large", PHONE, 412, 915},  {"Tablet", "tablet", TABLET, 810, 1080},
    {"Small tablet", "tablet-small", TABLET, 600, 960},
};

static void name_it(struct request *request, struct device *device)
{
    static const char *const agents[] = {[DESKTOP] = DESKTOP_AGENT, [LAPTOP] = DESKTOP_AGENT, [PHONE] = PHONE_AGENT,
                                         [TABLET] = TABLET_AGENT};
    if (!device->name) {
        device->name = arena_printf(request->arena, "Custom %s %dx%d", categories[device->category], device->width,
                                    device->height);
        device->code_name = arena_printf(request->arena, "custom-%llu", (unsigned long long)device->head.id);
    }
    device->default_template = agents[device->category];
    device->templates = (struct field_list){&device->default_template, 1};
}

static void append(struct request *request, json_t *list, struct device *device)
{
    name_it(request, device);
    (void)json_array_append_new(list, field_to_json(&device_table, device, request->expand));
}

static int get_devices(struct request *request, struct error *err)
{
    struct field_list made = {0};
    int rc = object_list(request->server->store, &api_device_kind, 0, NULL, request->arena, &made, err);
    if (rc)
        return rc;
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof builtins / sizeof builtins[0]; i++) {
        struct device device = {.head.id = BUILTIN_ID + i,
                                .category = builtins[i].category,
                                .width = builtins[i].width,
                                .height = builtins[i].height,
                                .name = builtins[i].name,
                                .code_name = builtins[i].code_name};
        append(request, list, &device);
    }
    struct device *devices = made.items;
    for (size_t i = 0; i < made.count; i++)
        append(request, list, &devices[i]);
    request_answer(request, 200, json_pack("{s:o}", "emulatedDevices", list));
    return 0;
}

static int create_device(struct request *request, struct error *err)
{
    struct device *device = request->record;
    device->head = (struct object_head){0};
    int rc = change_put(request, &api_device_kind, device, err);
    if (rc)
        return rc;
    name_it(request, device);
    request_answer_record(request, 201, &device_table, device);
    return 0;
}

static int get_user_agents(struct request *request, struct error *err)
{
    (void)err;
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof user_agents / sizeof user_agents[0]; i++)
        (void)json_array_append_new(list, field_to_json(&user_agent_table, &user_agents[i], NULL));
    request_answer(request, 200, json_pack("{s:o}", "userAgents", list));
    return 0;
}

static const char *const device_expand[] = {"user-agent", NULL};

const struct route api_emulation_routes[] = {
    ROUTE("GET", "/v7/emulated-devices", PERMISSION_VIEW_TESTS, "getEmulatedDevices", get_devices,
          (.response = &device_table, .list = "emulatedDevices", .flags = ROUTE_V7 | ROUTE_NO_AID,
           .expand = device_expand),
          "List devices that can be emulated"),
    ROUTE("POST", "/v7/emulated-devices", PERMISSION_EDIT_TESTS, "createEmulatedDevice", create_device,
          (.request = &device_request_table, .response = &device_table, .status = 201, .flags = ROUTE_V7),
          "Add a device that can be emulated"),
    ROUTE("GET", "/v7/user-agents", PERMISSION_VIEW_TESTS, "getUserAgents", get_user_agents,
          (.response = &user_agent_table, .list = "userAgents", .flags = ROUTE_V7), "List user agents"),
    {0},
};
