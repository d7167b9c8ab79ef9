package fd

import "syscall"

// unixStat is what os.FileInfo.Sys carries on Linux.
type unixStat = syscall.Stat_t
