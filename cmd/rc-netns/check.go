package main

import (
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"openrc-netns/internal/preflight"
	"openrc-netns/internal/privilege"
)

// check prints what would keep services from running where their settings say,
// and returns the exit status.
func check(args []string) int {
	problem, err := runCheck(args)
	return conclude("check", problem, err)
}

func runCheck(args []string) (problem bool, err error) {
	var asJSON bool
	flags := pflag.NewFlagSet("check", pflag.ContinueOnError)
	flags.Usage = func() {}
	flags.BoolVar(&asJSON, "json", false, "")
	if err := flags.Parse(args); err != nil {
		return false, fmt.Errorf("%w; see: rc-netns --help", err)
	}
	if err := privilege.CheckSecure(); err != nil {
		return false, err
	}
	found, err := preflight.Run(flags.Args())
	if err != nil {
		return false, err
	}
	text := ""
	if asJSON {
		text, err = encode(describeCheck(found))
	} else {
		text = newPage(os.Stdout).report(found)
	}
	if err == nil {
		err = write(text)
	}
	return found.Findings() > 0, err
}
