package torture

import (
	"os"
	"time"
)

func attackLimits(r *report, until time.Time)  {}
func attackEscapes(r *report, until time.Time) {}
func escape(args []string)                     { os.Exit(1) }
