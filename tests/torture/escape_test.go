package torture

import (
	"os"
	"time"
)

func attackEscapes(r *report, until time.Time) {}
func escape(args []string)                     { os.Exit(1) }
