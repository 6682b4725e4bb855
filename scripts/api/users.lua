--- Users: made, changed and switched off by admins. Nobody is deleted: the audit log names them.

local identity = require "lib.identity"
local schemas = require "lib.schemas"

local INVITATION_S = 7 * 24 * 3600
local ID = { id = { type = "integer", required = true, min = 1 } }
local ROLES_DOC = "any of viewer, analyst, operator, admin, service"

endpoint {
  method = "GET", path = "/api/v1/users", auth = "admin",
  summary = "users, newest first",
  params = {
    email = { type = "string", max_length = 254 },
    role = { type = "string", enum = identity.ROLES },
    is_active = { type = "boolean" },
    limit = { type = "integer", min = 1, max = 1000, default = 50 },
    cursor = { type = "string", max_length = 512 },
  },
  responses = { [200] = { description = "a page", schema = schemas.page(identity.user) } },
  handler = function(req)
    local page, err = db.users:list_json(req.params)
    if not page then return problem(err) end
    return reply_raw(200, page)
  end,
}

endpoint {
  method = "GET", path = "/api/v1/users/{id}", auth = "admin",
  summary = "one user", params = ID,
  responses = { [200] = { description = "the user", schema = identity.user }, [404] = "no such user" },
  handler = function(req)
    local user, err = db.users:get_json(req.params)
    if not user then return problem(err) end
    return reply_raw(200, user)
  end,
}

--- A new invitation of a user, within a transaction. Returns the token.
local function invite(user_id, by)
  local token, digest = auth.new_token("cw_inv_")
  local made, err = db.invitations:create { user_id = user_id, hashed_token = digest, created_by = by,
    seconds = INVITATION_S }
  if not made then return nil, err end
  local noted
  noted, err = db.audit_logs:append { event_type = "user.invite", resource = "user/" .. user_id, action = "create" }
  if not noted then return nil, err end
  return token
end

local NO_INVITATIONS = "is required while auth.registration is closed"

endpoint {
  method = "POST", path = "/api/v1/users", auth = "admin",
  summary = "a new user, with a password or (without one) with an invitation to set it",
  body = { fields = {
    email = { type = "string", required = true, max_length = 254 },
    password = { type = "string", max_length = 1024 },
    roles = { type = "array", doc = ROLES_DOC .. "; default viewer" },
  } },
  responses = { [201] = { description = "the user; `invitation` is shown this once", schema = identity.user },
    [409] = "the e-mail address is taken", [422] = "the address, the roles or the password cannot be used" },
  handler = function(req)
    local email, password = req.data.email, req.data.password
    local wrong = identity.email_fault(email)
    if wrong then return identity.invalid("/email", wrong) end
    local roles, fault = identity.roles(req.data.roles or { "viewer" }, "/roles")
    if not roles then return identity.invalid(fault.pointer, fault.detail) end
    if #roles == 0 then return identity.invalid("/roles", "must not be empty") end
    local hash, err
    if password then
      wrong = auth.fault(password, email)
      if wrong then return identity.invalid("/password", wrong) end
      hash, err = auth.hash(password)
      if not hash then return problem(err) end
    end
    local wants_invitation = not password and not (#roles == 1 and roles[1] == "service")
    if wants_invitation and auth.settings().registration == "closed" then
      return identity.invalid("/password", NO_INVITATIONS)
    end
    local token
    local user
    user, err = db.transaction(function()
      local made, why = db.users:create { email = email, hashed_password = hash, roles = roles }
      if not made then return nil, why end
      local noted
      noted, why = db.audit_logs:append { event_type = "user.create", resource = "user/" .. made.id, action = "create",
        details = { email = email, roles = json.array(roles) } }
      if not noted then return nil, why end
      if wants_invitation then
        token, why = invite(made.id, req.user.id)
        if not token then return nil, why end
      end
      return made
    end)
    if not user then
      if err.code == "conflict" then return problem(409, "email_taken", "there is a user with this e-mail address") end
      return problem(err)
    end
    identity.done()
    user.invitation = token
    return reply(201, user, { Location = "/api/v1/users/" .. user.id })
  end,
}

--- Changes a user; an engine without an active admin could not be helped any more.
local function change(req, fields, event)
  local user, err = db.transaction({ isolation = "serializable" }, function()
    local before, why = db.users:get { id = req.params.id }
    if not before then return nil, why end
    local after
    after, why = db.users:update { id = req.params.id, roles = fields.roles, is_active = fields.is_active }
    if not after then return nil, why end
    local count
    count, why = db.users:count()
    if not count then return nil, why end
    if count.admins == 0 then
      return nil, { status = 409, code = "last_admin", message = "there must be one active admin" }
    end
    if fields.is_active == false then
      local _, fault = db.sessions:revoke { user_id = req.params.id, reason = "deactivated" }
      if fault then return nil, fault end
    end
    local noted
    noted, why = db.audit_logs:append { event_type = event, resource = "user/" .. req.params.id, action = "update",
      details = { email = before.email, before = { roles = before.roles, is_active = before.is_active },
        after = { roles = after.roles, is_active = after.is_active } } }
    if not noted then return nil, why end
    return after
  end)
  if not user then return problem(err) end
  identity.done()
  return reply(200, user)
end

endpoint {
  method = "PATCH", path = "/api/v1/users/{id}", auth = "admin",
  summary = "change roles, or switch a user on or off; holds at once",
  params = ID,
  body = { fields = { roles = { type = "array", doc = ROLES_DOC }, is_active = { type = "boolean" } } },
  responses = { [200] = { description = "the user", schema = identity.user }, [404] = "no such user",
    [409] = "this is the last active admin", [422] = "unknown roles" },
  handler = function(req)
    local fields = { is_active = req.data.is_active }
    if req.data.roles then
      local roles, fault = identity.roles(req.data.roles, "/roles")
      if not roles then return identity.invalid(fault.pointer, fault.detail) end
      if #roles == 0 then
        return identity.invalid("/roles", "must not be empty; is_active = false switches a user off")
      end
      fields.roles = roles
    end
    if fields.roles == nil and fields.is_active == nil then return identity.invalid("/", "has nothing to change") end
    return change(req, fields, fields.roles and "user.roles" or fields.is_active and "user.enable" or "user.disable")
  end,
}

endpoint {
  method = "DELETE", path = "/api/v1/users/{id}", auth = "admin",
  summary = "switch a user off: keys and sessions end at once, the row stays",
  params = ID,
  responses = { [200] = { description = "the user, not active", schema = identity.user }, [404] = "no such user",
    [409] = "this is the last active admin" },
  handler = function(req) return change(req, { is_active = false }, "user.disable") end,
}

endpoint {
  method = "POST", path = "/api/v1/users/{id}/password", auth = "admin",
  summary = "set a user's password; all sessions of the user end",
  params = ID,
  body = { fields = { password = { type = "string", required = true, max_length = 1024 } } },
  responses = { [200] = { description = "done", schema = identity.user }, [404] = "no such user",
    [422] = "the password is too short or too common" },
  handler = function(req)
    local user, err = db.users:get { id = req.params.id }
    if not user then return problem(err) end
    local wrong = auth.fault(req.data.password, user.email)
    if wrong then return identity.invalid("/password", wrong) end
    local hash
    hash, err = auth.hash(req.data.password)
    if not hash then return problem(err) end
    local done
    done, err = db.transaction(function()
      local ok, why = db.users:set_password { id = user.id, hashed_password = hash }
      if not ok then return nil, why end
      local n
      n, why = db.sessions:revoke { user_id = user.id, reason = "password" }
      if not n then return nil, why end
      return db.audit_logs:append { event_type = "user.password", resource = "user/" .. user.id, action = "update",
        details = { email = user.email, sessions_ended = n } }
    end)
    if not done then return problem(err) end
    identity.done()
    return reply(200, user)
  end,
}

endpoint {
  method = "DELETE", path = "/api/v1/users/{id}/sessions", auth = "admin",
  summary = "end every session and access token of a user; API keys stay",
  params = ID,
  responses = { [200] = { description = "how many sessions were ended", schema = { type = "object" } },
    [404] = "no such user" },
  handler = function(req)
    local ended, err = db.transaction(function()
      local user, why = db.users:get { id = req.params.id }
      if not user then return nil, why end
      local ok
      ok, why = db.users:sign_out { id = user.id }
      if not ok then return nil, why end
      local n
      n, why = db.sessions:revoke { user_id = user.id, reason = "admin" }
      if not n then return nil, why end
      ok, why = db.audit_logs:append { event_type = "user.sign_out", resource = "user/" .. user.id, action = "revoke",
        details = { email = user.email, sessions_ended = n } }
      if not ok then return nil, why end
      return n
    end)
    if not ended then return problem(err) end
    identity.done()
    return reply(200, { ended = ended })
  end,
}

endpoint {
  method = "POST", path = "/api/v1/users/{id}/invitation", auth = "admin",
  summary = "a one-time token with which this user sets a password, good for a week",
  params = ID,
  responses = { [201] = { description = "the token, shown this once", schema = { type = "object" } },
    [404] = "no such user", [409] = "auth.registration is closed" },
  handler = function(req)
    if auth.settings().registration == "closed" then
      return problem(409, "registration_closed", "invitations cannot be used while auth.registration is closed")
    end
    local user, err = db.users:get { id = req.params.id }
    if not user then return problem(err) end
    local token
    token, err = db.transaction(function() return invite(user.id, req.user.id) end)
    if not token then return problem(err) end
    return reply(201, { user_id = user.id, invitation = token, expires_in = INVITATION_S })
  end,
}
