--- Users, logins, tokens and API keys, as clients and as thieves use them.

local engine = require "tests.support.engine"
local socket = require "socket"

local PHRASE, OTHER = "correct horse battery", "another long phrase"

describe("auth", function()
  local e
  local NOBODY = { ["X-API-Key"] = false }
  local function bearer(token) return { ["X-API-Key"] = false, Authorization = "Bearer " .. token } end
  local function key(text) return { ["X-API-Key"] = text } end
  local function user(email, roles, password)
    local status, made = e:post("/api/v1/users", { email = email, password = password or PHRASE, roles = roles })
    assert.equal(201, status)
    return made
  end
  local function login(email, password)
    return e:post("/api/v1/auth/login", { email = email, password = password or PHRASE }, NOBODY)
  end

  --- The claim of that name.
  local function jti(token)
    local payload = token:match("%.([^.]+)%."):gsub("-", "+"):gsub("_", "/")
    local mime = require "mime"
    return assert(mime.unb64(payload .. ("="):rep(-#payload % 4)):match('"jti":"(%x+)"'))
  end

  setup(function()
    e = engine.start { sets = { "auth.lockout_after=3", "limits.login_rate=0", "auth.registration=open" } }
  end)
  teardown(function() e:stop() end)

  it("lets a user in and out", function()
    user("in@example.com", { "analyst" })
    local status, t, headers = login("IN@example.com")
    assert.equal(200, status)
    assert.equal("no-store", headers["cache-control"])
    assert.equal("Bearer", t.token_type)
    local _, me = e:get("/api/v1/auth/me", bearer(t.access_token))
    assert.equal("in@example.com", me.email)
    assert.same({ "viewer", "analyst" }, me.effective_roles)
    assert.equal(200, (e:post("/api/v1/auth/logout", {}, bearer(t.access_token))))
    local body
    status, body, headers = e:get("/api/v1/auth/me", bearer(t.access_token))
    assert.equal(401, status)
    assert.equal("unauthorized", body.code)
    assert.is_truthy(headers["www-authenticate"]:find("invalid_token", 1, true))
    assert.equal(401, (e:post("/api/v1/auth/refresh", { refresh_token = t.refresh_token }, NOBODY)))
  end)

  it("keeps Argon2id hashes with the parameters of the settings", function()
    user("hash@example.com")
    assert.is_truthy(e:sql("SELECT hashed_password FROM users WHERE email = 'hash@example.com'")
      :find("^%$argon2id%$v=19%$m=19456,t=2,p=1%$"))
  end)

  it("takes bcrypt hashes of the reference system and replaces them at the login", function()
    -- "correct horse battery" by another implementation (crypt(3) with $2b$), cost 5
    local code, hash = engine.run("perl -e 'print crypt($ARGV[0], \"\\$2b\\$05\\$abcdefghijklmnopqrstuu\")' '" .. PHRASE .. "'")
    assert.equal(0, code)
    hash = hash:gsub("%s+$", "")
    assert.is_truthy(hash:find("^%$2b%$05%$"), hash)
    e:sql("INSERT INTO users (email, hashed_password) VALUES ('old@example.com', replace('" .. hash:gsub("%$", "|")
      .. "', '|', chr(36)))")
    assert.equal(401, (login("old@example.com", "wrong")))
    assert.equal(200, (login("old@example.com")))
    assert.is_truthy(e:sql("SELECT hashed_password FROM users WHERE email = 'old@example.com'"):find("^%$argon2id%$"))
    assert.equal(200, (login("old@example.com")))
  end)

  it("tells nobody who has an account: not by text, not by code, not by time", function()
    user("known@example.com")
    e:sql("INSERT INTO users (email) VALUES ('nopassword@example.com')")
    user("off@example.com")
    e:sql("UPDATE users SET is_active = false WHERE email = 'off@example.com'")
    local function attempt(email)
      local from = socket.gettime()
      local status, body = login(email, "not the password")
      body.request_id = nil
      return status, body, socket.gettime() - from
    end
    local status, body, took = attempt("known@example.com")
    assert.equal(401, status)
    for _, email in ipairs { "unknown@example.com", "nopassword@example.com", "off@example.com" } do
      local s, b, t = attempt(email)
      assert.equal(status, s)
      assert.same(body, b)
      assert.is_true(math.abs(t - took) < 0.2 * engine.slow, email .. ": " .. t .. " s, and " .. took .. " s")
    end
  end)

  it("makes each failed attempt with an account cost twice the wait, known or not", function()
    user("target@example.com")
    for _, email in ipairs { "target@example.com", "no-such-target@example.com" } do
      for _ = 1, 3 do assert.equal(401, (login(email, "wrong phrase"))) end
      local status, body, headers = login(email, "wrong phrase")
      assert.equal(429, status)
      assert.equal("too_many_attempts", body.code)
      assert.equal("1", headers["retry-after"])
      assert.equal(429, (login(email)))                  -- the right one has to wait, too; it is one second, so ask at once
    end
    engine.wait("the end of the wait", 5, function() return login("target@example.com") == 200 end)
    assert.equal(401, (login("target@example.com", "wrong phrase")))   -- and then the count begins anew
  end)

  it("refuses passwords that are short, common or the address itself; has no rules of composition", function()
    local bad = { "short", "password", "Password1!", "12345678", "qwertyuiop", "iloveyou2", "P@ssw0rd123", "aaaaaaaaaa",
      "abcabcabc", "1q2w3e4r5t", "chainwatch1", "letmein!!", "87654321", "passwordpassword", "policy@example.com" }
    for _, password in ipairs(bad) do
      local status, body = e:post("/api/v1/users", { email = "policy@example.com", password = password })
      assert.equal(422, status, password)
      assert.equal("/password", body.errors[1].pointer)
    end
    local good = { "only lower case words", "6b8f0e2c41d7", ("x1"):rep(3) .. " and on", "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f and more",
      ("long phrase "):rep(20) }
    for i, password in ipairs(good) do user("good" .. i .. "@example.com", nil, password) end
    assert.equal(200, (login("good5@example.com", good[5])))
    assert.equal(401, (login("good5@example.com", good[5]:sub(1, 72))))
  end)

  it("rotates refresh tokens, and ends the session when one comes twice", function()
    user("rotate@example.com")
    local _, first = login("rotate@example.com")
    local status, second = e:post("/api/v1/auth/refresh", { refresh_token = first.refresh_token }, NOBODY)
    assert.equal(200, status)
    assert.not_equal(first.refresh_token, second.refresh_token)
    assert.equal(200, (e:get("/api/v1/auth/me", bearer(second.access_token))))
    assert.equal(401, (e:post("/api/v1/auth/refresh", { refresh_token = first.refresh_token }, NOBODY)))
    assert.equal(401, (e:post("/api/v1/auth/refresh", { refresh_token = second.refresh_token }, NOBODY)))
    assert.equal(401, (e:get("/api/v1/auth/me", bearer(second.access_token))))
    assert.equal("1", e:sql("SELECT count(*) FROM audit_logs WHERE event_type = 'auth.refresh_reuse' AND severity = 'critical'"))
    for _, nonsense in ipairs { "", "cw_ref_", "x", first.access_token:sub(1, 90) } do
      assert.equal(401, (e:post("/api/v1/auth/refresh", { refresh_token = nonsense }, NOBODY)))
    end
  end)

  it("keeps no token and no key in the database", function()
    user("secret@example.com")
    local _, t = login("secret@example.com")
    local _, k = e:post("/api/v1/api-keys", { name = "k" }, bearer(t.access_token))
    local code, dump = engine.run("pg_dump --data-only \"" .. engine.read(e.dir .. "/database.url"):gsub("%s+$", "") .. "\"")
    assert.equal(0, code)
    for _, secret in ipairs { t.refresh_token, t.access_token, k.key, e.key, PHRASE } do
      assert.is_nil(dump:find(secret, 1, true))
    end
  end)

  it("changes a password and ends the other sessions", function()
    user("change@example.com")
    local _, mine = login("change@example.com")
    local _, other = login("change@example.com")
    local H = bearer(mine.access_token)
    assert.equal(401, (e:post("/api/v1/auth/change-password", { current_password = "wrong one", new_password = OTHER }, H)))
    assert.equal(422, (e:post("/api/v1/auth/change-password", { current_password = PHRASE, new_password = "password1" }, H)))
    assert.equal(422, (e:post("/api/v1/auth/change-password", { current_password = PHRASE, new_password = PHRASE }, H)))
    local status, next_one = e:post("/api/v1/auth/change-password", { current_password = PHRASE, new_password = OTHER }, H)
    assert.equal(200, status)
    assert.equal(401, (e:get("/api/v1/auth/me", H)))                  -- the token from before has ended, too
    assert.equal(200, (e:get("/api/v1/auth/me", bearer(next_one.access_token))))
    assert.equal(200, (e:post("/api/v1/auth/refresh", { refresh_token = mine.refresh_token }, NOBODY)))
    assert.equal(401, (e:get("/api/v1/auth/me", bearer(other.access_token))))
    assert.equal(401, (login("change@example.com")))
    assert.equal(200, (login("change@example.com", OTHER)))
  end)

  it("makes keys that may less than their user, never more", function()
    user("keys@example.com", { "analyst" })
    local _, t = login("keys@example.com")
    local status, narrow = e:post("/api/v1/api-keys", { name = "narrow", scopes = { "viewer" } }, bearer(t.access_token))
    assert.equal(201, status)
    assert.equal(44, #narrow.key)
    assert.equal(narrow.key:sub(1, 16), narrow.prefix)
    local _, me = e:get("/api/v1/auth/me", key(narrow.key))
    assert.same({ "viewer" }, me.effective_roles)
    assert.equal(403, (e:post("/api/v1/api-keys", { name = "more", scopes = { "admin" } }, bearer(t.access_token))))
    assert.equal(403, (e:post("/api/v1/api-keys", { name = "more", scopes = { "analyst" } }, key(narrow.key))))
    local _, same = e:post("/api/v1/api-keys", { name = "same" }, key(narrow.key))
    assert.same({ "viewer" }, same.scopes)
    assert.equal(422, (e:post("/api/v1/api-keys", { name = "bad", scopes = { "root" } }, bearer(t.access_token))))
    assert.equal(422, (e:post("/api/v1/api-keys", { name = " " }, bearer(t.access_token))))
  end)

  it("gives everybody a hand on the own keys alone", function()
    user("mine@example.com")
    user("yours@example.com")
    local _, mine = login("mine@example.com")
    local _, yours = login("yours@example.com")
    local _, k = e:post("/api/v1/api-keys", { name = "k" }, bearer(mine.access_token))
    local path = "/api/v1/api-keys/" .. k.id
    assert.equal(404, (e:get(path, bearer(yours.access_token))))
    assert.equal(404, (e:call("DELETE", path, nil, bearer(yours.access_token))))
    assert.equal(404, (e:post(path .. "/rotate", nil, bearer(yours.access_token))))
    assert.equal(403, (e:get("/api/v1/api-keys?all=true", bearer(yours.access_token))))
    assert.equal(403, (e:get("/api/v1/api-keys?user_id=1", bearer(yours.access_token))))
    assert.equal(403, (e:post("/api/v1/api-keys", { name = "k", user_id = 1 }, bearer(yours.access_token))))
    local _, page = e:get("/api/v1/api-keys", bearer(yours.access_token))
    assert.equal(0, #page.items)
    assert.equal(200, (e:get(path)))
    local _, again = e:post(path .. "/rotate", nil, bearer(mine.access_token))
    assert.equal(401, (e:get("/api/v1/auth/me", key(k.key))))
    assert.equal(200, (e:get("/api/v1/auth/me", key(again.key))))
    assert.equal(200, (e:call("DELETE", "/api/v1/api-keys/" .. again.id, nil, bearer(mine.access_token))))
    assert.equal(401, (e:get("/api/v1/auth/me", key(again.key))))
    assert.equal(404, (e:call("DELETE", "/api/v1/auth/sessions/1", nil, bearer(yours.access_token))))
  end)

  it("takes a key that was made elsewhere at once, and lets a revoked one in for a second at most", function()
    local code, made = engine.run(engine.bin .. " key create --user admin@localhost --name cli --set general.data_dir=" .. e.dir)
    assert.equal(0, code)
    made = made:gsub("%s+$", "")
    assert.equal(200, (e:get("/api/v1/auth/me", key(made))))
    engine.run(engine.bin .. " key revoke " .. made:sub(1, 16) .. " --set general.data_dir=" .. e.dir)
    local from = socket.gettime()
    engine.wait("the key to be refused", 3, function() return e:get("/api/v1/auth/me", key(made)) == 401 end)
    assert.is_true(socket.gettime() - from < 1.5)
  end)

  it("lets keys expire", function()
    local _, k = e:post("/api/v1/api-keys", { name = "soon", expires_at = os.time() + 2 })
    assert.equal(200, (e:get("/api/v1/auth/me", key(k.key))))
    engine.wait("the key to expire", 5, function() return e:get("/api/v1/auth/me", key(k.key)) == 401 end)
    assert.equal(422, (e:post("/api/v1/api-keys", { name = "past", expires_at = os.time() - 2 })))
  end)

  it("changes roles and switches users off at once, but never the last admin", function()
    local u = user("demote@example.com", { "admin" })
    local _, t = login("demote@example.com")
    local H = bearer(t.access_token)
    assert.equal(200, (e:get("/api/v1/users", H)))
    assert.equal(200, (e:call("PATCH", "/api/v1/users/" .. u.id, { roles = { "viewer" } })))
    assert.equal(401, (e:get("/api/v1/users", H)))
    local status, fresh = e:post("/api/v1/auth/refresh", { refresh_token = t.refresh_token }, NOBODY)
    assert.equal(200, status)
    H = bearer(fresh.access_token)
    assert.equal(403, (e:get("/api/v1/users", H)))
    assert.equal(200, (e:get("/api/v1/auth/me", H)))
    assert.equal(200, (e:call("DELETE", "/api/v1/users/" .. u.id)))
    assert.equal(401, (e:get("/api/v1/auth/me", H)))
    assert.equal(401, (login("demote@example.com")))
    local body
    status, body = e:call("DELETE", "/api/v1/users/1")
    assert.equal(409, status)
    assert.equal("last_admin", body.code)
    assert.equal(409, (e:call("PATCH", "/api/v1/users/1", { roles = { "viewer" } })))
    assert.equal(404, (e:call("PATCH", "/api/v1/users/99999", { is_active = false })))
  end)

  it("ends single tokens, and those of a user, at once", function()
    local u = user("ended@example.com")
    local _, a = login("ended@example.com")
    local _, b = login("ended@example.com")
    user("bystander@example.com")
    local _, other = login("bystander@example.com")
    local function revoke(token, headers) return e:post("/api/v1/auth/revoke", { token = token }, headers) end
    local _, again = e:post("/api/v1/auth/refresh", { refresh_token = a.refresh_token }, NOBODY)
    assert.equal(200, (e:get("/api/v1/auth/me", bearer(a.access_token))))
    assert.equal(200, (revoke(a.access_token, bearer(again.access_token))))
    assert.equal(401, (e:get("/api/v1/auth/me", bearer(a.access_token))))
    assert.equal(200, (e:get("/api/v1/auth/me", bearer(again.access_token))))     -- of the same session
    assert.equal(200, (revoke(b.refresh_token, bearer(again.access_token))))        -- its whole session
    assert.equal(401, (e:get("/api/v1/auth/me", bearer(b.access_token))))
    assert.equal(401, (e:post("/api/v1/auth/refresh", { refresh_token = b.refresh_token }, NOBODY)))
    assert.equal(200, (revoke(other.access_token, bearer(again.access_token))))     -- says nothing, does nothing
    assert.equal(200, (e:get("/api/v1/auth/me", bearer(other.access_token))))
    assert.equal(200, (revoke("nonsense", bearer(again.access_token))))
    assert.equal(401, (revoke(other.access_token, NOBODY)))
    assert.equal(200, (revoke(other.access_token)))                                -- an admin may
    assert.equal(401, (e:get("/api/v1/auth/me", bearer(other.access_token))))
    assert.equal(403, (e:call("DELETE", "/api/v1/users/" .. u.id .. "/sessions", nil, bearer(again.access_token))))
    assert.equal(200, (e:call("DELETE", "/api/v1/users/" .. u.id .. "/sessions")))
    assert.equal(401, (e:get("/api/v1/auth/me", bearer(again.access_token))))
    assert.equal(404, (e:call("DELETE", "/api/v1/users/99999/sessions")))
    -- also what others do, in SQL: within a second, on every engine
    local _, c = login("ended@example.com")
    assert.equal(200, (e:get("/api/v1/auth/me", bearer(c.access_token))))
    e:sql("UPDATE users SET roles = '{analyst}' WHERE id = " .. u.id)
    engine.wait("the token to be refused", 2, function() return (e:get("/api/v1/auth/me", bearer(c.access_token))) == 401 end)
    local _, d = login("ended@example.com")
    e:sql("INSERT INTO revoked_tokens (jti, user_id, expires_at) SELECT '" .. jti(d.access_token) .. "', " .. u.id
      .. ", now() + interval '15 minutes'")
    engine.wait("the token to be refused", 2, function() return (e:get("/api/v1/auth/me", bearer(d.access_token))) == 401 end)
  end)

  it("counts failed logins for every engine, and over a restart", function()
    user("counted@example.com")
    for _ = 1, 3 do assert.equal(401, (login("counted@example.com", "wrong one"))) end
    assert.equal(429, (login("counted@example.com", "wrong one")))   -- within the second: not checked, so not counted
    assert.equal("3", e:sql("SELECT failures FROM login_failures WHERE hashed_name = sha256('counted@example.com')"))
    -- another engine, or this one before it was started: as if it had counted them
    e:sql("INSERT INTO login_failures VALUES (sha256('elsewhere@example.com'), 9, now())")
    user("elsewhere@example.com")
    local status, body, headers = login("Elsewhere@Example.com", PHRASE)
    assert.equal(429, status)
    assert.equal("too_many_attempts", body.code)
    assert.is_true(tonumber(headers["retry-after"]) >= 10)
    e:sql("INSERT INTO login_failures VALUES (sha256('nobody2@example.com'), 9, now())")
    assert.equal(429, (login("nobody2@example.com", PHRASE)))                        -- the same for nobody's account
    -- what lies back far enough is forgotten, and success clears the slate
    e:sql("INSERT INTO login_failures VALUES (sha256('past@example.com'), 4, now() - interval '10 seconds')")
    user("past@example.com")
    assert.equal(200, (login("past@example.com")))
    assert.equal("0", e:sql("SELECT count(*) FROM login_failures WHERE hashed_name = sha256('past@example.com')"))
  end)

  it("registers, and does not tell whether an address was free", function()
    local body = { email = "new@example.com", password = PHRASE }
    local status, first = e:post("/api/v1/auth/register", body, NOBODY)
    assert.equal(202, status)
    local again, second = e:post("/api/v1/auth/register", { email = "new@example.com", password = OTHER }, NOBODY)
    assert.equal(202, again)
    assert.same(first, second)
    assert.equal(200, (login("new@example.com")))
    assert.equal(401, (login("new@example.com", OTHER)))
    local _, me = login("new@example.com")
    assert.same({ "viewer" }, me.user.roles)
    for _, email in ipairs { "nobody", "a b@c", "@", "a@", "a@b@c" } do
      assert.equal(422, (e:post("/api/v1/auth/register", { email = email, password = PHRASE }, NOBODY)), email)
    end
  end)

  it("takes an invitation once", function()
    local status, invited = e:post("/api/v1/users", { email = "guest@example.com", roles = { "operator" } })
    assert.equal(201, status)
    local body = { invitation = invited.invitation, password = PHRASE }
    assert.equal(422, (e:post("/api/v1/auth/register", { invitation = invited.invitation, password = "password1" }, NOBODY)))
    assert.equal(202, (e:post("/api/v1/auth/register", body, NOBODY)))
    assert.equal(403, (e:post("/api/v1/auth/register", body, NOBODY)))
    assert.equal(403, (e:post("/api/v1/auth/register", { invitation = "cw_inv_x", password = PHRASE }, NOBODY)))
    local _, t = login("guest@example.com")
    assert.same({ "operator" }, t.user.roles)
  end)

  it("wants one credential, once", function()
    local function status(headers) return (e:get("/api/v1/auth/me", headers)) end
    local _, k = e:post("/api/v1/api-keys", { name = "other" })
    assert.equal(200, status { ["X-API-Key"] = e.key, Authorization = "Bearer " .. e.key })
    assert.equal(401, status { ["X-API-Key"] = e.key, Authorization = "Bearer " .. k.key })
    assert.equal(401, status { ["X-API-Key"] = e.key, Authorization = "Basic YTpi" })
    assert.equal(401, status { ["X-API-Key"] = false, Authorization = "Basic YTpi" })
    assert.equal(401, status { ["X-API-Key"] = false, Authorization = "Bearer " })
    assert.equal(401, status { ["X-API-Key"] = "" })
    assert.equal(401, status { ["X-API-Key"] = e.key .. "x" })
    assert.equal(401, status { ["X-API-Key"] = e.key:sub(1, -2) .. (e.key:sub(-1) == "A" and "B" or "A") })
    assert.equal(401, status { ["X-API-Key"] = e.key, ["x-api-key"] = e.key })
    assert.equal(200, status { ["X-API-Key"] = false, Authorization = "bearer " .. e.key })
  end)

  it("bounds the passwords that are checked at once", function()
    -- 60 logins at the same time: each is answered, none with an error of the server but "too busy".
    local list = {}
    for i = 1, 60 do
      local c = assert(socket.tcp())
      c:settimeout(30)
      c:connect("127.0.0.1", e.port)
      local body = '{"email":"crowd' .. i .. '@example.com","password":"not the password"}'
      c:send("POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: "
        .. #body .. "\r\n\r\n" .. body)
      list[i] = c
    end
    local seen = {}
    for _, c in ipairs(list) do
      local text, err, partial = c:receive("*a")
      c:close()
      local status = engine.parse(text or partial, err)
      seen[status] = (seen[status] or 0) + 1
    end
    assert.equal(60, (seen[401] or 0) + (seen[503] or 0))
    assert.is_true((seen[503] or 0) > 0 and (seen[401] or 0) >= 30)
  end)
end)
