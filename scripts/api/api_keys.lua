--- API keys: everybody has a hand on the own ones, admins on all. A key is shown once, when it is made.

local identity = require "lib.identity"
local schemas = require "lib.schemas"

local ID = { id = { type = "integer", required = true, min = 1 } }
local MADE = { type = "object", properties = { key = { type = "string", description = "shown this once" } } }
for name, schema in pairs(identity.key.properties) do MADE.properties[name] = schema end

--- The key of this id if the caller may see it; else it does not exist for the caller.
local function own_key(req)
  local row, err = db.api_keys:get { id = req.params.id }
  if not row then return nil, err end
  if row.user_id ~= req.user.id and not identity.is_admin(req) then
    return nil, { status = 404, code = "not_found", message = "api_keys: there is no such row" }
  end
  return row
end

--- Makes a key within a transaction. Returns its row with the key in it.
local function make(fields, event, details)
  local key, prefix, digest = auth.new_key()
  local row, err = db.api_keys:create { user_id = fields.user_id, name = fields.name, hashed_key = digest,
    prefix = prefix, scopes = fields.scopes, expires_at = fields.expires_at }
  if not row then return nil, err end
  details.name, details.prefix, details.owner = fields.name, prefix, fields.user_id
  details.scopes = json.array(fields.scopes)
  local noted
  noted, err = db.audit_logs:append { event_type = event, resource = "api_key/" .. row.id, action = "create",
    details = details }
  if not noted then return nil, err end
  row.key = key
  return row
end

--- A key cannot make one that may more than itself: without scopes the new one has those of the caller's.
local function check_scopes(req, owner, scopes)
  if owner ~= req.user.id then return scopes end
  if #scopes == 0 and req.user.key_id then
    local mine, err = db.api_keys:get { id = req.user.key_id }
    if not mine then return nil, err end
    return mine.scopes
  end
  for _, scope in ipairs(scopes) do
    if not identity.has(req.user.roles, scope) then
      return nil, { status = 403, code = "forbidden", message = "you cannot give the scope \"" .. scope .. "\"" }
    end
  end
  return scopes
end

endpoint {
  method = "POST", path = "/api/v1/api-keys", auth = "user",
  summary = "a new key of one's own; an admin may name another user",
  body = { fields = {
    name = { type = "string", required = true, max_length = 100, doc = "what it is for" },
    scopes = { type = "array", doc = "roles that the key is narrowed to; none: all of the user's" },
    expires_at = { type = "time" },
    expires_in_days = { type = "integer", min = 1, max = 3650 },
    user_id = { type = "integer", min = 1, doc = "admins only: whose key it is" },
  } },
  responses = { [201] = { description = "the key, shown this once", schema = MADE },
    [403] = "scopes or a user that are not yours to give", [404] = "no such user", [422] = "a field is wrong" },
  handler = function(req)
    local owner = req.data.user_id or req.user.id
    if owner ~= req.user.id and not identity.is_admin(req) then
      return problem(403, "forbidden", "only an admin makes keys for others")
    end
    if req.data.name:find("^%s*$") then return identity.invalid("/name", "must not be empty") end
    if req.data.name:find("%c") or req.data.name:find("\194[\128-\159]") then
      return identity.invalid("/name", "must not have control characters")
    end
    local expires = req.data.expires_at
    if expires and req.data.expires_in_days then return identity.invalid("/expires_at",
      "and expires_in_days: say one") end
    if expires and expires <= time.now() then return identity.invalid("/expires_at", "must be in the future") end
    local days = req.data.expires_in_days
    if days then expires = math.floor(time.now()) + 86400 * days end
    local scopes, fault = identity.roles(req.data.scopes or {}, "/scopes")
    if not scopes then return identity.invalid(fault.pointer, fault.detail) end
    local user, err = db.users:get { id = owner }
    if not user then return problem(err) end
    scopes, err = check_scopes(req, owner, scopes)
    if not scopes then return problem(err) end
    local row
    row, err = db.transaction(function()
      return make({ user_id = owner, name = req.data.name, scopes = scopes,
        expires_at = expires and time.format(expires) }, "api_key.create", {})
    end)
    if not row then return problem(err) end
    identity.done()
    return reply(201, row, { Location = "/api/v1/api-keys/" .. row.id })
  end,
}

endpoint {
  method = "GET", path = "/api/v1/api-keys", auth = "user",
  summary = "one's own keys, newest first; admins may ask for those of others",
  params = {
    user_id = { type = "integer", min = 1, doc = "admins only" },
    all = { type = "boolean", doc = "admins only: of everybody" },
    is_active = { type = "boolean" },
    limit = { type = "integer", min = 1, max = 1000, default = 50 },
    cursor = { type = "string", max_length = 512 },
  },
  responses = { [200] = { description = "a page", schema = schemas.page(identity.key) }, [403] = "keys of others" },
  handler = function(req)
    local p = req.params
    local others = p.all or (p.user_id and p.user_id ~= req.user.id)
    if others and not identity.is_admin(req) then
      return problem(403, "forbidden", "only an admin sees keys of others")
    end
    local page, err = db.api_keys:list_json { user_id = not p.all and (p.user_id or req.user.id) or p.user_id,
      is_active = p.is_active, limit = p.limit, cursor = p.cursor }
    if not page then return problem(err) end
    return reply_raw(200, page)
  end,
}

endpoint {
  method = "GET", path = "/api/v1/api-keys/{id}", auth = "user",
  summary = "one key, without the key itself", params = ID,
  responses = { [200] = { description = "the key", schema = identity.key }, [404] = "no such key of yours" },
  handler = function(req)
    local row, err = own_key(req)
    if not row then return problem(err) end
    return reply(200, row)
  end,
}

endpoint {
  method = "DELETE", path = "/api/v1/api-keys/{id}", auth = "user",
  summary = "revoke a key; it is refused when this answers, and by other engines within a second",
  params = ID,
  responses = { [200] = { description = "the key, not active", schema = identity.key },
    [404] = "no such key of yours", [409] = "it is the key of this very request" },
  handler = function(req)
    local row, err = own_key(req)
    if not row then return problem(err) end
    if row.id == req.user.key_id then
      return problem(409, "own_key", "a key does not revoke itself; use another one, a login, or rotate it")
    end
    local revoked
    revoked, err = db.transaction(function()
      local gone, why = db.api_keys:revoke { id = row.id }
      if not gone then return nil, why end
      local noted
      noted, why = db.audit_logs:append { event_type = "api_key.revoke", resource = "api_key/" .. row.id,
        action = "revoke", details = { name = row.name, prefix = row.prefix, owner = row.user_id } }
      if not noted then return nil, why end
      return gone
    end)
    if not revoked then return problem(err) end
    identity.done()
    return reply(200, revoked)
  end,
}

endpoint {
  method = "POST", path = "/api/v1/api-keys/{id}/rotate", auth = "user",
  summary = "a new key in place of this one: same name, scopes and end; the old one is refused at once",
  params = ID,
  responses = { [201] = { description = "the new key, shown this once", schema = MADE }, [404] = "no such key of yours",
    [409] = "the key is not active" },
  handler = function(req)
    local row, err = own_key(req)
    if not row then return problem(err) end
    if not row.is_active then return problem(409, "conflict", "the key was revoked; make a new one") end
    local scopes
    scopes, err = check_scopes(req, row.user_id, row.scopes)
    if not scopes then return problem(err) end
    local made
    made, err = db.transaction(function()
      local gone, why = db.api_keys:revoke { id = row.id }
      if not gone then return nil, why end
      return make({ user_id = row.user_id, name = row.name, scopes = scopes,
        expires_at = row.expires_at ~= json.null and row.expires_at or nil }, "api_key.rotate", { replaces = row.id })
    end)
    if not made then return problem(err) end
    identity.done()
    return reply(201, made, { Location = "/api/v1/api-keys/" .. made.id })
  end,
}
