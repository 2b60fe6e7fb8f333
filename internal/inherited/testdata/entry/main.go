// Entry says what a program sees that starts at _openrc_netns_entry.
package main

import (
	"fmt"
	"os"
	"runtime"

	"openrc-netns/internal/inherited"
)

func main() {
	processors, set := os.LookupEnv("GOMAXPROCS")
	fmt.Printf("%d %q %t A=%q %q\n", runtime.GOMAXPROCS(0), processors, set, os.Getenv("A"), inherited.Environ())
}
