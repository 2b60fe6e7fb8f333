//go:build !amd64

package torture

import (
	"fmt"
	"time"
)

// What traces the launchers knows the registers of one machine only.

func attackLimits(*report, time.Time) { fmt.Println("limit: not on this machine, see README.md") }

func attackCalls(*report, time.Time) { fmt.Println("inject: not on this machine, see README.md") }
