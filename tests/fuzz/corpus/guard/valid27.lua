#!x
return 2