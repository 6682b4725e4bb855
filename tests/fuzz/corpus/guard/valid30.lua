local s = "a\z 
  b" return #s