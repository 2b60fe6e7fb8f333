//go:build !linkname

package inherited

import (
	"sync/atomic"
	"syscall"
)

// Of a build without the tag, Check lets no program run.
const linked = false

var (
	foundHandlers  [numSignals]uintptr
	foundMask      [2]uint32
	foundOpenFiles atomic.Pointer[syscall.Rlimit]
	envs           []string
)
