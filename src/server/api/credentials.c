/*
 * /v7/credentials: named secrets for tests that sign in somewhere. A value is sealed before it is stored, goes only to
 * agents whose tests use it, and is never answered.
 */
#include "server/api/api.h"
#include "server/resource.h"
#include "server/seal.h"

struct credential {
    struct object_head head;
    const char *name, *value; /* stored: sealed for API_CREDENTIAL_PURPOSE */
};

#define R (.flags = FIELD_READONLY)
static const struct field stored_fields[] = {
    FIELD_STR(struct credential, name, "name", (), "Its name"),
    FIELD_STR(struct credential, value, "value", (.flags = FIELD_SECRET), "The secret, sealed"),
};
static const struct field_table stored_table =
    FIELD_TABLE("StoredCredential", struct credential, stored_fields, NULL, "A credential as it is kept");

static const struct field request_fields[] = {
    FIELD_STR(struct credential, name, "name", (.flags = FIELD_REQUIRED, .min = 1, .max = 255),
              "Its name, unique in the account group"),
    FIELD_STR(struct credential, value, "value", (.flags = FIELD_REQUIRED | FIELD_SECRET, .max = 10000), "The secret"),
};
static const struct field_table request_table =
    FIELD_TABLE("CredentialRequest", struct credential, request_fields, NULL, "A credential");

static const struct field answer_fields[] = {
    FIELD_ID(struct credential, head.id, "id", R, "Its id"),
    FIELD_STR(struct credential, name, "name", (), "Its name"),
};
static const struct field_table answer_table =
    FIELD_TABLE("CredentialWithoutValue", struct credential, answer_fields, NULL, "A credential without its secret");

const struct object_kind api_credential_kind = {.name = "credential",
                                                   .table = &stored_table,
                                                   .key = offsetof(struct credential, name),
                                                   .lookup = OBJECT_NONE,
                                                   .title = "Credential",
                                                   .resource = "credentialName",
                                                   .label = offsetof(struct credential, name)};

static int check(struct request *request, const void *before, void *record, struct error *err)
{
    struct credential *credential = record;
    const struct credential *old = before;
    if (!credential->value || !*credential->value)
        return error_set(err, E_REQUIRED, "value", "Password is empty.");
    if (old && old->value == credential->value)
        return 0; /* not given: what is stored stays */
    return seal_text(request->server->seal, API_CREDENTIAL_PURPOSE, credential->value, request->arena,
                     &credential->value, err);
}

static const struct resource credentials = {.kind = &api_credential_kind,
                                            .path = "/v7/credentials",
                                            .param = "id",
                                            .uuid = OBJECT_NONE,
                                            .is_forgotten = true,
                                            .key = "name",
                                            .check = check};

#define PLAIN .response = &answer_table, .resource = &credentials

const struct route api_credential_routes[] = {
    ROUTE("GET", "/v7/credentials", PERMISSION_VIEW_TESTS, "getCredentials", resource_list,
          (PLAIN, .list = "credentials", .flags = ROUTE_V7), "List credentials, without their secrets"),
    ROUTE("POST", "/v7/credentials", PERMISSION_EDIT_TESTS, "createCredential", resource_create,
          (PLAIN, .request = &request_table, .status = 201, .flags = ROUTE_V7 | ROUTE_PARTIAL), "Create a credential"),
    ROUTE("GET", "/v7/credentials/{id}", PERMISSION_VIEW_TESTS, "getCredential", resource_get,
          (PLAIN, .flags = ROUTE_V7), "Get a credential, without its secret"),
    ROUTE("PUT", "/v7/credentials/{id}", PERMISSION_EDIT_TESTS, "updateCredential", resource_put,
          (PLAIN, .request = &request_table, .flags = ROUTE_V7 | ROUTE_PARTIAL),
          "Change a credential; what is not given stays"),
    ROUTE("DELETE", "/v7/credentials/{id}", PERMISSION_EDIT_TESTS, "deleteCredential", resource_delete,
          (.resource = &credentials, .status = 204, .flags = ROUTE_V7), "Delete a credential and forget its secret"),
    {0},
};
