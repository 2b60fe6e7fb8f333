package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"openrc-netns/internal/openrc"
	"openrc-netns/internal/serviceconf"
	"openrc-netns/internal/shell"
)

// printSettings prints what conf.d sets for a service, as this program reads
// it.
func printSettings(args []string) int {
	var null bool
	flags := pflag.NewFlagSet("settings", pflag.ContinueOnError)
	flags.Usage = func() {}
	flags.BoolVarP(&null, "null", "0", false, "")
	err := flags.Parse(args)
	switch {
	case err != nil:
		err = fmt.Errorf("%w; see: rc-netns --help", err)
	case flags.NArg() != 1:
		err = errors.New("needs the name of one service; see: rc-netns --help")
	default:
		err = writeSettings(flags.Arg(0), null)
	}
	return conclude("settings", false, err)
}

func writeSettings(service string, null bool) error {
	settings, err := serviceconf.Read(service)
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, name := range openrc.Names {
		switch value := settings.Get(name); {
		case value == "":
		case null:
			fmt.Fprintf(&text, "%s=%s\x00", name, value)
		default:
			fmt.Fprintf(&text, "%s=%s\n", name, shell.Quote(value))
		}
	}
	return write(text.String())
}
