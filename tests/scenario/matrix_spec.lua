--- Every route with every role and every kind of credential, good and bad. The table is made from the declarations
--- (x-role in /openapi.json); docs/API.md has the same one (UPDATE_DOCS=1 writes it).

local engine = require "tests.support.engine"
local socket = require "socket"
local cjson = require "cjson"

local ROLES = { "viewer", "analyst", "operator", "admin", "service" }
--- Who has which role, by the ladder.
local HAS = {
  viewer = { viewer = true }, analyst = { viewer = true, analyst = true },
  operator = { viewer = true, analyst = true, operator = true, service = true },
  admin = { viewer = true, analyst = true, operator = true, admin = true, service = true },
  service = { service = true },
}
local function may(role, needed) return needed == "none" or needed == "user" or HAS[role][needed] or false end

local BEGIN, END = "<!-- roles: made from the declarations -->\n", "<!-- end of roles -->\n"
local DOC = "docs/API.md"

local BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
local function base64url(text)
  local out = {}
  for i = 1, #text, 3 do
    local a, b, c = text:byte(i, i + 2)
    local n = a * 65536 + (b or 0) * 256 + (c or 0)
    for j = 3, (b and (c and 0 or 1) or 2), -1 do
      local at = math.floor(n / 64 ^ j) % 64
      out[#out + 1] = BASE64:sub(at + 1, at + 1)
    end
  end
  return table.concat(out)
end

describe("role matrix", function()
  local e, routes, keys, tokens

  --- Status and problem code; a stream is left after its head.
  local function ask(method, path, headers)
    local c = assert(socket.tcp())
    c:settimeout(20)
    assert(c:connect("127.0.0.1", e.port))
    local body = (method == "GET" or method == "DELETE") and "" or "{}"
    local lines = { method .. " " .. path .. " HTTP/1.1", "Host: x", "Connection: close" }
    if body ~= "" then
      lines[#lines + 1] = "Content-Type: application/json"
      lines[#lines + 1] = "Content-Length: " .. #body
    end
    for _, h in ipairs(headers) do lines[#lines + 1] = h end
    c:send(table.concat(lines, "\r\n") .. "\r\n\r\n" .. body)
    local status = tonumber((c:receive("*l") or ""):match("^HTTP/1%.1 (%d+)"))
    local stream, challenge = false, nil
    while true do
      local line = c:receive("*l")
      if not line or line == "" then break end
      stream = stream or line:lower():find("text/event-stream", 1, true) ~= nil
      challenge = challenge or line:match("^WWW%-Authenticate: (.*)")
    end
    local text = not stream and select(1, c:receive("*a")) or ""
    c:close()
    local ok, doc = pcall(cjson.decode, text or "")
    return status, ok and type(doc) == "table" and doc.code or nil, challenge
  end

  setup(function()
    e = engine.start()
    local _, doc = e:get("/openapi.json")
    routes = {}
    for path, operations in pairs(doc.paths) do
      for method, op in pairs(operations) do
        local where = path:gsub("{hash}", "0x" .. ("9"):rep(64)):gsub("{id}", "999999999"):gsub("{[%w_]+}", "nothing")
        routes[#routes + 1] = { method = method:upper(), path = path, where = where, role = op["x-role"] or "none" }
      end
    end
    table.sort(routes, function(a, b) return a.path .. " " .. a.method < b.path .. " " .. b.method end)
    keys, tokens = {}, {}
    for _, role in ipairs(ROLES) do
      local _, user = e:post("/api/v1/users", { email = role .. "@example.com", password = "a phrase of words", roles = { role } })
      local _, key = e:post("/api/v1/api-keys", { name = role, user_id = user.id })
      local _, t = e:post("/api/v1/auth/login", { email = role .. "@example.com", password = "a phrase of words" },
        { ["X-API-Key"] = false })
      keys[role], tokens[role] = key.key, t.access_token
    end
  end)
  teardown(function() e:stop { "candidates/999999999" } end)

  it("has a role for every route but those that say they are open", function()
    local open = {}
    for _, r in ipairs(routes) do if r.role == "none" then open[#open + 1] = r.method .. " " .. r.path end end
    assert.same({ "POST /api/v1/auth/login", "POST /api/v1/auth/refresh", "POST /api/v1/auth/register", "GET /health",
      "GET /health/live", "GET /health/ready", "GET /metrics", "GET /openapi.json" }, open)
    assert.is_true(#routes > 50)
  end)

  it("lets each role do what the table says, with a key and with a token", function()
    local slow = { ["/api/v1/admin/reload"] = true }      -- really does it: once is enough
    local wrong, done = {}, {}
    for _, r in ipairs(routes) do
      for _, role in ipairs(ROLES) do
        for kind, credential in pairs { key = keys[role], token = tokens[role] } do
          local skip = r.path == "/api/v1/auth/logout" and kind == "token" or (may(role, r.role) and slow[r.path] and done[r.path])
          if not skip then
            local status, code = ask(r.method, r.where, { "Authorization: Bearer " .. credential })
            local refused = status == 401 and code == "unauthorized" or status == 403 and code == "forbidden"
            done[r.path] = true
            if refused == may(role, r.role) or not status or (refused and status == 401) or (status == 500) then
              wrong[#wrong + 1] = ("%s %s as %s by %s: %s %s"):format(r.method, r.path, role, kind, tostring(status), tostring(code))
            end
          end
        end
      end
    end
    assert.same({}, wrong)
  end)

  --- A token of header and claims as text, rightly signed with the engine's own HMAC key.
  local function forge(header, claims)
    local text = base64url(header) .. "." .. base64url(claims)
    local key = assert(engine.read(e.dir .. "/token.keys"):match("HS256 (%S+)")):gsub("-", "+"):gsub("_", "/")
    local hex = require "mime".unb64(key .. ("="):rep(-#key % 4)):gsub(".", function(c) return ("%02x"):format(c:byte()) end)
    local _, mac = engine.run("printf %s '" .. text .. "' | openssl dgst -sha256 -mac HMAC -macopt hexkey:" .. hex .. " -binary | base64 -w0")
    return text .. "." .. mac:gsub("%s+$", ""):gsub("=", ""):gsub("+", "-"):gsub("/", "_")
  end

  --- Tokens with a right signature that say something wrong. `good` is the one that shows that the rest of each is right.
  local function forgeries()
    local header, payload = tokens.admin:match("^([^.]+)%.([^.]+)%.")
    local function text(part) return require "mime".unb64((part:gsub("-", "+"):gsub("_", "/")) .. ("="):rep(-#part % 4)) end
    local h, p = text(header), text(payload)
    local kid, now = h:match('"kid":"([^"]+)"'), os.time()
    local function claim(name, value) return (p:gsub('"' .. name .. '":"?[%w%-]+"?', '"' .. name .. '":' .. value)) end
    local function head(kid_, more) return '{"alg":"HS256","typ":"at+jwt","kid":"' .. kid_ .. '"' .. (more or "") .. "}" end
    return { good = forge(h, p),
      { "an expired token", forge(h, claim("exp", now - 60)) }, { "a token of the future", forge(h, claim("nbf", now + 600)) },
      { "a token issued in the future", forge(h, claim("iat", now + 600)) }, { "no end", forge(h, (p:gsub('"exp":%d+,', ""))) },
      { "an end as text", forge(h, claim("exp", '"' .. now + 60 .. '"')) }, { "an end that is a fraction", forge(h, claim("exp", now + 60 .. ".5")) },
      { "another issuer", forge(h, claim("iss", '"someone"')) }, { "another audience", forge(h, claim("aud", '"someone"')) },
      { "a list of audiences", forge(h, claim("aud", '["chainwatch-api"]')) }, { "nobody's user", forge(h, claim("sub", '"999999"')) },
      { "a user that is a number", forge(h, claim("sub", "1")) }, { "a user that is SQL", forge(h, claim("sub", "\"1' OR 1=1\"")) },
      { "an earlier epoch", forge(h, claim("epoch", "-1")) }, { "a later epoch", forge(h, claim("epoch", "99")) },
      { "a claim twice", forge(h, (p:gsub("^{", '{"sub":"1",'))) }, { "claims that are no object", forge(h, "[1]") }, { "no claims", forge(h, "") },
      { "claims that are not UTF-8", forge(h, (p:gsub("^{", '{"x":"\255",'))) },
      { "another type", forge('{"alg":"HS256","typ":"JWT","kid":"' .. kid .. '"}', p) }, { "no type", forge('{"alg":"HS256","kid":"' .. kid .. '"}', p) },
      { "an unknown key", forge(head "nobody", p) }, { "a path as the key", forge(head "../../../dev/null", p) }, { "no key",
        forge('{"alg":"HS256","typ":"at+jwt"}', p) },
      { "a key that is SQL", forge(head "' OR '1'='1", p) }, { "an empty key", forge(head "", p) }, { "a key twice", forge(head(kid, ',"kid":"'
        .. kid .. '"'), p) },
      { "EdDSA with the secret of HMAC", forge((h:gsub("HS256", "EdDSA")), p) }, { "HS512", forge((h:gsub("HS256", "HS512")), p) },
      { "hs256", forge((h:gsub("HS256", "hs256")), p) }, { "a key of its own", forge(head(kid, ',"jwk":{"kty":"oct","k":"AA"}'), p) },
      { "a key from elsewhere", forge(head(kid, ',"jku":"http://127.0.0.1/"'), p) }, { "a critical extension", forge(head(kid, ',"crit":["exp"]'), p) },
      { "a compressed one", forge(head(kid, ',"zip":"DEF"'), p) } }
  end

  it("takes the signature for nothing but a signature", function()
    local list, wrong = forgeries(), {}
    assert.equal(200, (ask("GET", "/api/v1/users", { "Authorization: Bearer " .. list.good })))
    for _, f in ipairs(list) do
      for _, where in ipairs { "/api/v1/users", "/api/v1/auth/me" } do
        local status, code = ask("GET", where, { "Authorization: Bearer " .. f[2] })
        if status ~= 401 or code ~= "unauthorized" then wrong[#wrong + 1] = f[1] .. ": " .. tostring(status) .. " " .. tostring(code) end
      end
    end
    assert.same({}, wrong)
  end)

  it("takes a token in one form", function()
    local token, wrong = tokens.admin, {}
    local function is(wanted, name, ...)
      local status = ask("GET", "/api/v1/users", { ... })
      if status ~= wanted then wrong[#wrong + 1] = name .. ": " .. tostring(status) end
    end
    for _, scheme in ipairs { "Bearer", "bearer", "BEARER" } do is(200, scheme, "Authorization: " .. scheme .. " " .. token) end
    is(200, "white space around the field", "Authorization:  \tBearer " .. token .. " \t")
    for _, scheme in ipairs { "", "Bearer  ", "Bearer\t", "Bearer:", "Bearer=", "Token ", "JWT ", "Basic ", "Digest ", "Bearer Bearer " } do
      is(401, scheme, "Authorization: " .. scheme .. token)
    end
    for _, text in ipairs { token .. ".", token .. ".x", "." .. token, token .. " x", token:gsub("%.", ". ", 1), token .. "%00", token .. "\255",
      token:upper(),
      token .. "\226\128\139", token:gsub("^ey", "\195\169y"), token:sub(1, #token / 2), token .. ", " .. token, '"' .. token .. '"', ("A"):rep(5000),
        ("."):rep(3000),
      ("A"):rep(4000) .. "." .. ("A"):rep(40) .. "." .. ("A"):rep(40), "null", "undefined", "../../token.keys", "cw_ref_" .. ("A"):rep(44) } do
      is(401, text, "Authorization: Bearer " .. text)
    end
    for at = 1, #token, 7 do
      if token:sub(at, at) ~= "." then
        is(401, "a changed letter at " .. at, "Authorization: Bearer " .. token:sub(1, at - 1) .. (token:sub(at, at) == "A" and "B" or "A")
          .. token:sub(at + 1))
      end
      is(401, "cut off at " .. at, "Authorization: Bearer " .. token:sub(1, at))
    end
    is(200, "both the same key", "Authorization: Bearer " .. keys.admin, "X-API-Key: " .. keys.admin)
    is(401, "a token and nothing", "Authorization: Bearer " .. token, "X-API-Key: ")
    is(401, "two keys", "X-API-Key: " .. keys.admin, "X-API-Key: " .. keys.admin)
    is(401, "a token in the query", "X: y", "Cookie: access_token=" .. token)
    assert.same({}, wrong)
    local _, refreshed = e:post("/api/v1/auth/login", { email = "admin@example.com", password = "a phrase of words" }, { ["X-API-Key"] = false })
    assert.equal(401, (ask("GET", "/api/v1/users", { "Authorization: Bearer " .. refreshed.refresh_token })))
    assert.equal(401, (ask("GET", "/api/v1/users", { "X-API-Key: " .. refreshed.refresh_token })))
    -- and the other way round: an access token refreshes nothing
    assert.equal(401, (e:post("/api/v1/auth/refresh", { refresh_token = token:sub(1, 100) }, { ["X-API-Key"] = false })))
  end)

  --- Credentials that are nobody's. Each is a list of header lines.
  local function strangers()
    local key, token = keys.admin, tokens.admin
    local header, payload, signature = token:match("^([^.]+)%.([^.]+)%.([^.]+)$")
    local function flip(text, at) return text:sub(1, at - 1) .. (text:sub(at, at) == "A" and "B" or "A") .. text:sub(at + 1) end
    local none = base64url('{"alg":"none","typ":"at+jwt"}')
    local list = {
      { "nothing" },
      { "an empty key", "X-API-Key: " },
      { "a key with another checksum", "X-API-Key: " .. flip(key, #key) },
      { "a key that was never made", "X-API-Key: cw_live_" .. ("A"):rep(36) },
      { "half a key", "X-API-Key: " .. key:sub(1, 20) },
      { "a password", "Authorization: Basic YWRtaW46YWRtaW4=" },
      { "a bearer of nothing", "Authorization: Bearer" },
      { "a key and another one", "X-API-Key: " .. key, "Authorization: Bearer " .. keys.viewer },
      { "a key and a token", "X-API-Key: " .. key, "Authorization: Bearer " .. token },
      { "two tokens", "Authorization: Bearer " .. token, "Authorization: Bearer " .. token },
      { "a token as a key", "X-API-Key: " .. token },
      { "a changed signature", "Authorization: Bearer " .. header .. "." .. payload .. "." .. flip(signature, 5) },
      { "a changed payload", "Authorization: Bearer " .. header .. "." .. flip(payload, 20) .. "." .. signature },
      { "a changed header", "Authorization: Bearer " .. flip(header, 12) .. "." .. payload .. "." .. signature },
      { "no signature", "Authorization: Bearer " .. header .. "." .. payload .. "." },
      { "algorithm none", "Authorization: Bearer " .. none .. "." .. payload .. "." },
      { "algorithm none, signed", "Authorization: Bearer " .. none .. "." .. payload .. "." .. signature },
      { "a token with padding", "Authorization: Bearer " .. token .. "=" },
      { "a token cut short", "Authorization: Bearer " .. token:sub(1, -2) },
      { "three dots", "Authorization: Bearer ..." },
      { "the payload of another", "Authorization: Bearer " .. header .. "." .. tokens.viewer:match("%.([^.]+)%.") .. "." .. signature },
    }
    return list
  end

  it("answers 401 with a challenge to what is nobody's credential, on every route", function()
    local wrong = {}
    for _, r in ipairs(routes) do
      for _, s in ipairs(strangers()) do
        local status, code, challenge = ask(r.method, r.where, { unpack(s, 2) })
        local refused = status == 401 and code == "unauthorized" and challenge ~= nil
        if refused == (r.role == "none") then
          wrong[#wrong + 1] = ("%s %s with %s: %s %s"):format(r.method, r.path, s[1], tostring(status), tostring(code))
        end
      end
    end
    assert.same({}, wrong)
  end)

  it("is the table of the documents", function()
    local lines = { "| route | open | viewer | analyst | operator | admin | service |\n| --- | --- | --- | --- | --- | --- | --- |\n" }
    for _, r in ipairs(routes) do
      local cells = { "`" .. r.method .. " " .. r.path .. "`", r.role == "none" and "x" or "" }
      for _, role in ipairs(ROLES) do cells[#cells + 1] = may(role, r.role) and "x" or "" end
      lines[#lines + 1] = ("| " .. table.concat(cells, " | ") .. " |\n"):gsub("  +", " ")
    end
    local text = engine.read(DOC)
    local from, to = text:find(BEGIN, 1, true), text:find(END, 1, true)
    assert(from and to, "docs/API.md has lost the place of its table of roles")
    local fresh = text:sub(1, from + #BEGIN - 1) .. table.concat(lines) .. text:sub(to)
    if os.getenv("UPDATE_DOCS") then engine.write(DOC, fresh) end
    assert.equal(fresh, os.getenv("UPDATE_DOCS") and fresh or text)
  end)
end)
