--- Logging in and out. Access tokens are short-lived and name a session; refresh tokens follow each other, and one that
--- comes twice ends its session, since one of the two who had it is a thief.

local identity = require "lib.identity"
local schemas = require "lib.schemas"

local REFRESH, INVITATION = "cw_ref_", "cw_inv_"

local TOKENS = {
  type = "object",
  properties = {
    access_token = { type = "string" }, token_type = { type = "string", enum = { "Bearer" } },
    expires_in = { type = "integer", description = "seconds" }, refresh_token = { type = "string" },
    refresh_expires_in = { type = "integer", description = "seconds until a new login is needed" },
    user = identity.user,
  },
}

local WAIT = "too many attempts: Retry-After says when"

local function tokens(session, refresh, user)
  local access, seconds = auth.issue(session.user_id, session.id, session.token_epoch)
  return reply(200, {
    access_token = access, token_type = "Bearer", expires_in = seconds, refresh_token = refresh,
    refresh_expires_in = math.max(0, math.floor(time.parse(session.expires_at) - time.now())), user = user,
  })
end

--- What was counted for a name by every engine; nil: nothing, or that could not be read (err).
local function failures_of(account)
  local past, err = db.login_failures:get { hashed_name = account }
  if past or err.code == "not_found" then return past end
  return nil, err
end

--- A failed login, or check of a password: it counts on every engine, and is an entry of the audit log, together.
local function note_failure(account, entry)
  local ok, fault = db.transaction(function()
    local counted, why = db.login_failures:add { hashed_name = account, forget_s = auth.settings().forget_s }
    if not counted then return nil, why end
    return db.audit_logs:append(entry)
  end)
  if not ok then log.error("a failed login could not be noted", { error = fault.message }) end
end

--- It has passed: within the transaction of what it was for.
local function clear_failures(account, past)
  if not past then return true end
  local _, err = db.login_failures:clear { hashed_name = account }
  return err == nil, err
end

endpoint {
  method = "POST", path = "/api/v1/auth/login", auth = "none",
  summary = "log in with e-mail address and password",
  body = { fields = {
    email = { type = "string", max_length = 254, doc = "or username" },
    username = { type = "string", max_length = 254, doc = "another name for email" },
    password = { type = "string", required = true, max_length = 1024 },
  } },
  responses = {
    [200] = { description = "an access token and the first refresh token", schema = TOKENS },
    [401] = "e-mail address or password is wrong", [429] = WAIT, [503] = "too many passwords are being checked",
  },
  handler = function(req)
    local email = req.data.email or req.data.username
    if not email then return identity.invalid("/email", "is required") end
    local ok, err = auth.allow()
    if not ok then return problem(err) end
    local account = auth.account(email)
    local past
    past, err = failures_of(account)
    if err then return problem(err) end
    local user
    user, err = auth.login(email, req.data.password, past)
    if not user then
      if err.status == 401 then
        note_failure(account, { event_type = "auth.login", resource = "session", action = "login", status = "failure",
          severity = "warning", details = { email = email, reason = err.code, locked_for_s = err.retry_after } })
      end
      return problem(err.status, err.code, err.message, { retry_after = err.status ~= 401 and err.retry_after or nil })
    end
    local refresh, digest = auth.new_token(REFRESH)
    local session
    session, err = db.transaction(function()
      if user.rehash then
        local stored, fault = db.users:rehash { id = user.id, hashed_password = user.rehash }
        if not stored then return nil, fault end
      end
      local cleared, why = clear_failures(account, past)
      if not cleared then return nil, why end
      local opened, fault = db.sessions:open { user_id = user.id, hashed_token = digest,
        seconds = auth.settings().session_s, ip_address = req.address, user_agent = req.agent }
      if not opened then return nil, fault end
      local noted
      noted, fault = db.audit_logs:append { event_type = "auth.login", user_id = user.id, resource = "session",
        action = "login", details = { session = opened.id, rehashed = user.rehash ~= nil } }
      if not noted then return nil, fault end
      return opened
    end)
    if not session then return problem(err) end
    user.rehash = nil
    return tokens(session, refresh, user)
  end,
}

local function refuse_refresh()
  return problem(401, "invalid_refresh_token", "the refresh token is not good (any more); log in again")
end

--- A token that was used before: whoever brings it, the session ends.
local function look_for_reuse(digest)
  local old = db.sessions:by_token { hashed_token = digest }
  if not old or old.used_at == json.null or old.revoked_at ~= json.null then return end
  local ok, err = db.transaction(function()
    local _, fault = db.sessions:revoke { id = old.session_id, reason = "reuse" }
    if fault then return nil, fault end
    return db.audit_logs:append { event_type = "auth.refresh_reuse", user_id = old.user_id, resource = "session",
      action = "revoke", status = "failure", severity = "critical", details = { session = old.session_id } }
  end)
  if not ok then log.error("a session with a reused token could not be ended", { error = err.message }) end
  identity.done()
end

endpoint {
  method = "POST", path = "/api/v1/auth/refresh", auth = "none",
  summary = "a new access token for a refresh token, which is used up",
  body = { fields = { refresh_token = { type = "string", required = true, max_length = 100 } } },
  responses = { [200] = { description = "the next tokens", schema = TOKENS }, [401] = "used, ended or unknown",
    [429] = WAIT },
  handler = function(req)
    local ok, err = auth.allow()
    if not ok then return problem(err) end
    local digest = auth.digest(req.data.refresh_token)
    local refresh, next_digest = auth.new_token(REFRESH)
    local session
    session, err = db.transaction(function()
      local rotated, fault = db.sessions:rotate { hashed_token = digest, next_token = next_digest }
      if not rotated then return nil, fault end
      local noted
      noted, fault = db.audit_logs:append { event_type = "auth.refresh", user_id = rotated.user_id,
        resource = "session", action = "refresh", details = { session = rotated.id } }
      if not noted then return nil, fault end
      return rotated
    end)
    if not session then
      if err.code ~= "not_found" then return problem(err) end
      look_for_reuse(digest)
      return refuse_refresh()
    end
    local user
    user, err = db.users:get { id = session.user_id }
    if not user then return problem(err) end
    return tokens(session, refresh, user)
  end,
}

endpoint {
  method = "POST", path = "/api/v1/auth/logout", auth = "user",
  summary = "end this session, or all of one's own: their tokens are good for nothing any more",
  body = { required = false, fields = {
    all = { type = "boolean", default = false, doc = "every session of this user" },
  } },
  responses = { [200] = { description = "how many sessions were ended", schema = { type = "object" } },
    [409] = "the request came with an API key, which has no session" },
  handler = function(req)
    if not req.user.session_id and not req.data.all then
      return problem(409, "no_session", "an API key has no session; revoke it with DELETE /api/v1/api-keys/{id}")
    end
    local ended, err = db.transaction(function()
      local n, fault = db.sessions:revoke { user_id = req.user.id, id = not req.data.all and req.user.session_id or nil,
        reason = "logout" }
      if not n then return nil, fault end
      local signed_out
      if req.data.all then
        signed_out, fault = db.users:sign_out { id = req.user.id }
        if not signed_out then return nil, fault end
      end
      local noted
      noted, fault = db.audit_logs:append { event_type = "auth.logout", resource = "session", action = "revoke",
        details = { session = req.user.session_id, all = req.data.all, ended = n } }
      if not noted then return nil, fault end
      return n
    end)
    if not ended then return problem(err) end
    identity.done()
    return reply(200, { ended = ended })
  end,
}

endpoint {
  method = "POST", path = "/api/v1/auth/change-password", auth = "user",
  summary = "set a new password; all other sessions and every access token of the user end",
  description = "A caller with an access token gets the next one: the one that it came with has ended, too.",
  body = { fields = {
    current_password = { type = "string", max_length = 1024, doc = "or old_password" },
    old_password = { type = "string", max_length = 1024, doc = "another name for current_password" },
    new_password = { type = "string", required = true, max_length = 1024 },
  } },
  responses = { [200] = { description = "done", schema = { type = "object" } },
    [401] = "the current password is wrong", [422] = "the new password is too short or too common", [429] = WAIT },
  handler = function(req)
    local current = req.data.current_password or req.data.old_password
    if not current then return identity.invalid("/current_password", "is required") end
    local account = auth.account(req.user.id)
    local past, err = failures_of(account)
    if err then return problem(err) end
    local user
    user, err = auth.verify(req.user.id, current, past)
    if not user then
      if err.status == 401 then
        note_failure(account, { event_type = "auth.password_change", resource = "user/" .. req.user.id,
          action = "update", status = "failure", severity = "warning" })
      end
      return problem(err.status, err.code, err.status == 401 and "the current password is wrong" or err.message,
        { retry_after = err.status ~= 401 and err.retry_after or nil })
    end
    local fault = auth.fault(req.data.new_password, user.email)
    if not fault and req.data.new_password == current then fault = "must differ from the current one" end
    if fault then return identity.invalid("/new_password", fault) end
    local hash
    hash, err = auth.hash(req.data.new_password)
    if not hash then return problem(err) end
    local ended, epoch
    ended, err = db.transaction(function()
      local ok, why = clear_failures(account, past)
      if not ok then return nil, why end
      ok, why = db.users:set_password { id = user.id, hashed_password = hash }
      if not ok then return nil, why end
      epoch = ok.token_epoch
      local n
      n, why = db.sessions:revoke { user_id = user.id, except = req.user.session_id, reason = "password" }
      if not n then return nil, why end
      ok, why = db.audit_logs:append { event_type = "auth.password_change", resource = "user/" .. user.id,
        action = "update", details = { sessions_ended = n } }
      if not ok then return nil, why end
      return n
    end)
    if not ended then return problem(err) end
    identity.done()
    local answer = { message = "the password is changed", sessions_ended = ended }
    if req.user.session_id then
      answer.access_token, answer.expires_in = auth.issue(user.id, req.user.session_id, epoch)
      answer.token_type = "Bearer"
    end
    return reply(200, answer)
  end,
}

--- Whether this caller may end what belongs to that user.
local function may_end(req, user_id) return user_id == req.user.id or identity.is_admin(req) end

--- The sessions that a token stands for: a refresh token its whole login, an access token only itself.
local function end_token(req)
  local claims = auth.claims(req.data.token)
  if claims then
    if not may_end(req, claims.user_id) then return nil end
    return db.revoked_tokens:add { jti = claims.jti, user_id = claims.user_id, expires_at = claims.expires_at },
      { token = claims.jti, owner = claims.user_id }
  end
  local session = db.sessions:by_token { hashed_token = auth.digest(req.data.token) }
  if not session or not may_end(req, session.user_id) then return nil end
  local reason = session.user_id == req.user.id and "logout" or "admin"
  return db.sessions:revoke { id = session.session_id, reason = reason },
    { session = session.session_id, owner = session.user_id }
end

endpoint {
  method = "POST", path = "/api/v1/auth/revoke", auth = "user",
  summary = "end one token: an access token alone, or a refresh token with its session (RFC 7009)",
  description = "One's own, admins anybody's. The answer is the same for a token that is unknown or not yours to end.",
  body = { fields = {
    token = { type = "string", required = true, max_length = 4096 },
    token_type_hint = { type = "string", max_length = 100, doc = "not needed; taken as RFC 7009 has it" },
  } },
  responses = { [200] = { description = "it is good for nothing any more", schema = { type = "object" } } },
  handler = function(req)
    local ok, err = db.transaction(function()
      local ended, what = end_token(req)
      if not ended then return true end
      return db.audit_logs:append { event_type = "auth.revoke", resource = "token", action = "revoke", details = what }
    end)
    if not ok then return problem(err) end
    identity.done()
    return reply(200, { message = "the token is good for nothing any more" })
  end,
}

endpoint {
  method = "GET", path = "/api/v1/auth/me", auth = "user",
  summary = "who this key or token belongs to, and what it may do",
  responses = { [200] = { description = "the user, with the roles of this credential", schema = identity.user } },
  handler = function(req)
    local user, err = db.users:get { id = req.user.id }
    if not user then return problem(err) end
    user.effective_roles = json.array(req.user.roles)
    user.credential = req.user.key_id and { type = "api_key", id = req.user.key_id }
      or { type = "session", id = req.user.session_id }
    return reply(200, user)
  end,
}

endpoint {
  method = "GET", path = "/api/v1/auth/sessions", auth = "user",
  summary = "one's own logins that have not ended",
  params = {
    limit = { type = "integer", min = 1, max = 1000, default = 50 }, cursor = { type = "string", max_length = 512 },
  },
  responses = { [200] = { description = "a page", schema = schemas.page { type = "object" } } },
  handler = function(req)
    local page, err = db.sessions:list_json { user_id = req.user.id, open = true, limit = req.params.limit,
      cursor = req.params.cursor }
    if not page then return problem(err) end
    return reply_raw(200, page)
  end,
}

endpoint {
  method = "DELETE", path = "/api/v1/auth/sessions/{id}", auth = "user",
  summary = "end one of one's own sessions",
  params = { id = { type = "integer", required = true, min = 1 } },
  responses = { [200] = { description = "done", schema = { type = "object" } },
    [404] = "no such session of this user" },
  handler = function(req)
    local ended, err = db.transaction(function()
      local n, fault = db.sessions:revoke { id = req.params.id, user_id = req.user.id, reason = "logout" }
      if not n then return nil, fault end
      if n == 0 then return nil, { status = 404, code = "not_found", message = "there is no such session" } end
      local noted
      noted, fault = db.audit_logs:append { event_type = "auth.logout", resource = "session", action = "revoke",
        details = { session = req.params.id } }
      if not noted then return nil, fault end
      return n
    end)
    if not ended then return problem(err) end
    identity.done()
    return reply(200, { ended = ended })
  end,
}

-- --- registration ----------------------------------------------------------------------------------------------

--- The user of an invitation gets the password.
local function redeem(token, hash)
  return db.transaction(function()
    local invitation, err = db.invitations:take { hashed_token = auth.digest(token) }
    if not invitation then return nil, err end
    local user
    user, err = db.users:set_password { id = invitation.user_id, hashed_password = hash }
    if not user then return nil, err end
    local _, fault = db.sessions:revoke { user_id = user.id, reason = "password" }
    if fault then return nil, fault end
    local noted
    noted, err = db.audit_logs:append { event_type = "auth.register", user_id = user.id, resource = "user/" .. user.id,
      action = "invitation", details = { email = user.email } }
    if not noted then return nil, err end
    return user
  end)
end

local function register_openly(email, hash)
  return db.transaction(function()
    local user, err = db.users:create { email = email, hashed_password = hash, roles = { "viewer" } }
    if not user then return nil, err end
    local noted
    noted, err = db.audit_logs:append { event_type = "auth.register", user_id = user.id, resource = "user/" .. user.id,
      action = "create", details = { email = email } }
    if not noted then return nil, err end
    return user
  end)
end

endpoint {
  method = "POST", path = "/api/v1/auth/register", auth = "none",
  summary = "make an account, where auth.registration allows it",
  description = "invitation: with the token of an invitation, which names the account. open: with an e-mail address; "
    .. "the answer is the same whether it was free or not, so that nobody can ask who is here.",
  body = { fields = {
    email = { type = "string", max_length = 254 },
    password = { type = "string", required = true, max_length = 1024 },
    invitation = { type = "string", max_length = 100 },
  } },
  responses = { [202] = { description = "taken; log in", schema = { type = "object" } },
    [403] = "registration is closed, or the invitation is not good", [422] = "the password is too short or too common",
    [429] = WAIT },
  handler = function(req)
    local mode, token = auth.settings().registration, req.data.invitation
    if mode == "closed" or (mode == "invitation" and not token) then
      return problem(403, "registration_closed", mode == "closed" and "accounts are made by an admin"
        or "an invitation is needed")
    end
    local ok, err = auth.allow()
    if not ok then return problem(err) end
    if not token then
      if not req.data.email then return identity.invalid("/email", "is required") end
      local wrong = identity.email_fault(req.data.email)
      if wrong then return identity.invalid("/email", wrong) end
    end
    local fault = auth.fault(req.data.password, req.data.email)
    if fault then return identity.invalid("/password", fault) end
    local hash
    hash, err = auth.hash(req.data.password)
    if not hash then return problem(err) end
    local user
    if token then
      if token:sub(1, #INVITATION) ~= INVITATION then token = INVITATION end
      user, err = redeem(token, hash)
      if not user and err.code == "not_found" then
        return problem(403, "invitation_invalid", "the invitation was used, has expired, or never was")
      end
    else
      user, err = register_openly(req.data.email, hash)
    end
    if not user and err.code ~= "conflict" then return problem(err) end
    identity.done()
    return reply(202, { message = "log in with this e-mail address and password" })
  end,
}
