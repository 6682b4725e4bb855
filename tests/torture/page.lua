--- The page that torture.lua shares with the preloaded library (inject.h): counts places, makes one fail.

local ffi = require "ffi"
local bit = require "bit"

local M = {}
local Page = {}
Page.__index = Page

M.ALLOC, M.SYS, M.PQ = 1, 2, 4
M.MAIN, M.CHILDREN = 1, 2
local OFF, COUNT, FAIL = 0, 1, 2

-- inject.h without its preprocessor lines: one description for both sides.
local function declare()
  local values, lines = {}, {}
  for line in io.lines("tests/torture/inject.h") do
    local name, value = line:match("^#define (INJECT_[A-Z]+) (%w+)")
    if name then values[name] = value end
    if not line:find("^#") then lines[#lines + 1] = line end
  end
  local text = table.concat(lines, "\n"):gsub("/%*.-%*/", ""):gsub("volatile ", "")
  ffi.cdef((text:gsub("INJECT_[A-Z]+", values)))
  M.MAGIC, M.FOUND, M.STACK = tonumber(values.INJECT_MAGIC:match("0x%x+")), tonumber(values.INJECT_FOUND),
    tonumber(values.INJECT_STACK)
end
declare()
ffi.cdef [[
  int open(const char *path, int flags, ...);
  int ftruncate(int fd, long len);
  int close(int fd);
  void *mmap(void *at, size_t len, int prot, int flags, int fd, long off);
]]

function M.new(path)
  local fd = ffi.C.open(path, bit.bor(2, 64), ffi.cast("int", 384))   -- O_RDWR | O_CREAT, 0600
  assert(fd >= 0 and ffi.C.ftruncate(fd, ffi.sizeof("struct inject")) == 0, path)
  local at = ffi.C.mmap(nil, ffi.sizeof("struct inject"), 3, 1, fd, 0)
  ffi.C.close(fd)
  local page = setmetatable({ path = path, at = ffi.cast("struct inject *", at) }, Page)
  page.at.magic = M.MAGIC
  return page
end

--- Counts from here on, until off().
function Page:count(kinds, roles, depth)
  local at = self.at
  at.mode = OFF
  ffi.fill(at.places, ffi.sizeof(at.places))
  at.nplaces, at.passed, at.lock = 0, 0, 0
  at.kinds, at.roles, at.depth = kinds, roles, depth
  at.mode = COUNT
end

--- The place fails the next time it is passed, `skip` passes later.
function Page:fail(place, roles, depth, skip)
  local at = self.at
  at.mode = OFF
  at.kinds, at.roles, at.depth = place.kind, roles, depth
  at.want, at.skip, at.fired, at.lock = place.hash, skip or 0, 0, 0
  at.mode = FAIL
end

function Page:off()
  self.at.mode = OFF
  return self.at.fired ~= 0
end

--- What was counted: { hash =, kind =, name =, passed =, stack = { ... } }, ordered by name and hash, so that a run of every
--- Nth means the same the next time.
function Page:places()
  local list = {}
  for i = 0, M.FOUND - 1 do
    local p = self.at.places[i]
    if p.hash ~= 0 then
      local stack = {}
      for s = 0, M.STACK - 1 do stack[#stack + 1] = p.stack[s] end
      list[#list + 1] = { hash = p.hash, id = string.format("%s", p.hash):gsub("ULL$", ""), kind = p.kind,
        name = ffi.string(p.name), passed = p.passed, stack = stack }
    end
  end
  table.sort(list, function(a, b) if a.name ~= b.name then return a.name < b.name end return a.hash < b.hash end)
  return list
end

-- "cw_alloc mem.c:92", or the module's name if its functions are not known.
function Page:frame(where, main)
  local module, offset = tonumber(bit.rshift(where, 48)), bit.band(where, 0xffffffffffffULL)
  if module == 0 then return nil end
  local path = ffi.string(self.at.modules[module - 1])
  if path == "main" then path = main end
  local pipe = io.popen(string.format("addr2line -sfpe %s 0x%s 2>/dev/null", path, bit.tohex(offset - 1, 12)))
  local text = pipe:read("*l") or "?"
  pipe:close()
  if text:find("^%?%?") then text = path:match("[^/]+$") end
  return (text:gsub(" at ", " "):gsub("%s*%(discriminator %d+%)", ""))
end

--- The function of the engine that calls; "" where it is a library.
function Page:caller(place, main)
  if bit.rshift(place.stack[1], 48) ~= 1 then return "" end
  return self:frame(place.stack[1], main):match("^[%w_]+")
end

--- "malloc < cw_alloc (mem.c:92) < ...": by addr2line, so only for what is reported.
function Page:describe(place, main)
  local words = {}
  for i, where in ipairs(place.stack) do
    local text = self:frame(where, main)
    if not text then break end
    words[#words + 1] = text
    if i > 9 then break end
  end
  return place.name .. " < " .. table.concat(words, " < ")
end

return M
