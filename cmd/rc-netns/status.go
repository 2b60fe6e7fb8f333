package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"openrc-netns/internal/audit"
	"openrc-netns/internal/mounts"
	"openrc-netns/internal/privilege"
	"openrc-netns/internal/terminal"
)

// statusOptions is the command line of status, taken apart.
type statusOptions struct {
	services []string
	json     bool
	openrc   bool
	watch    int // seconds between two audits; 0 for a single one
}

// status shows which service runs where, and returns the status to exit with.
func status(args []string) int {
	problem, err := runStatus(args)
	return conclude("status", problem, err)
}

func runStatus(args []string) (problem bool, err error) {
	if err := privilege.CheckSecure(); err != nil {
		return false, err
	}
	o, err := parseStatus(args)
	if err != nil {
		return false, err
	}
	// Behind a confined sshd the files of /etc are others, and new names of
	// namespaces may not be seen.
	if err := mounts.EnterHost(); err != nil && privilege.CheckSysAdmin() == nil {
		return false, err
	}
	if o.watch > 0 {
		return false, watch(o)
	}
	report, err := audit.Run(o.audit())
	if o.openrc && errors.As(err, new(*audit.UnconfinedError)) {
		return false, write("\n") // by conf.d: its script may set what a shell alone can tell
	}
	if err != nil {
		return false, err
	}
	text := ""
	if o.openrc {
		return false, write(forOpenRC(&report.Services[0]))
	}
	if o.json {
		text, err = encode(describe(report))
	} else {
		t, _ := terminal.Of(os.Stdout)
		text = strings.Join(o.lines(report, t.Columns, t.Colour), "\n") + "\n"
	}
	if err == nil {
		err = write(text)
	}
	return report.NeedsAction(), err
}

func parseStatus(args []string) (*statusOptions, error) {
	var o statusOptions
	var seconds string
	flags := pflag.NewFlagSet("status", pflag.ContinueOnError)
	flags.Usage = func() {}
	flags.BoolVar(&o.json, "json", false, "")
	flags.BoolVar(&o.openrc, "openrc", false, "")
	flags.StringVar(&seconds, "watch", "", "")
	flags.Lookup("watch").NoOptDefVal = "2"
	if err := flags.Parse(args); err != nil {
		return nil, fmt.Errorf("%w; see: rc-netns --help", err)
	}
	o.services = flags.Args()
	if o.openrc && (len(o.services) != 1 || flags.NFlag() != 1) {
		return nil, errors.New("--openrc is for one service, and goes with no other option")
	}
	if !flags.Changed("watch") {
		return &o, nil
	}
	var err error
	if o.watch, err = strconv.Atoi(seconds); err != nil || o.watch < 1 || o.watch > 86400 {
		return nil, fmt.Errorf("--watch=%s: give a number of seconds from 1 to 86400", seconds)
	}
	if o.json {
		return nil, errors.New("--watch is for people and --json for programs: give one of the two")
	}
	if _, ok := terminal.Of(os.Stdout); !ok || !terminal.Escapes() {
		return nil, errors.New("--watch needs a terminal that it can clear: leave it out, and call status again and again")
	}
	return &o, nil
}

func (o *statusOptions) audit() audit.Options {
	return audit.Options{Services: o.services, Namespaces: o.json || len(o.services) == 0}
}

// watch shows what there is again and again, until it is interrupted.
func watch(o *statusOptions) error {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	const home, clearLine, clearRest = "\x1b[H", "\x1b[K", "\x1b[J"
	first := "\x1b[2J"
	for {
		report, err := audit.Run(o.audit())
		if err != nil {
			return err
		}
		t, _ := terminal.Of(os.Stdout)
		lines := o.lines(report, t.Columns, t.Colour)
		if room := t.Rows - 1; t.Rows > 1 && len(lines) > room {
			more := fmt.Sprintf("%d more lines", len(lines)-room+1)
			lines = append(lines[:room-1], more)
		}
		err = write(first + home + strings.Join(lines, clearLine+"\n") + clearLine + "\n" + clearRest)
		if err != nil {
			return err
		}
		first = ""
		select {
		case <-ctx.Done():
			return nil
		case <-resized:
		case <-time.After(time.Duration(o.watch) * time.Second):
		}
	}
}
