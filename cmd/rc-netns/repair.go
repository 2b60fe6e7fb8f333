package main

import (
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"openrc-netns/internal/audit"
	"openrc-netns/internal/mounts"
	"openrc-netns/internal/privilege"
	"openrc-netns/internal/repair"
)

// repairServices puts right what status finds wrong with services that run, as
// far as that goes without a restart, and returns the status to exit with.
func repairServices(args []string) int {
	problem, err := runRepair(args)
	return conclude("repair", problem, err)
}

func runRepair(args []string) (problem bool, err error) {
	var try, quiet bool
	flags := pflag.NewFlagSet("repair", pflag.ContinueOnError)
	flags.Usage = func() {}
	flags.BoolVarP(&try, "dry-run", "n", false, "")
	flags.BoolVarP(&quiet, "quiet", "q", false, "")
	if err := flags.Parse(args); err != nil {
		return false, fmt.Errorf("%w; see: rc-netns --help", err)
	}
	if err := privilege.CheckSecure(); err != nil {
		return false, err
	}
	if err := privilege.CheckSysAdmin(); err != nil {
		return false, err
	}
	if err := mounts.EnterHost(); err != nil {
		return false, err
	}
	report, err := repair.Run(repair.Options{Services: flags.Args(), DryRun: try})
	if err != nil {
		return false, err
	}
	failed := map[string]bool{}
	text := ""
	for _, step := range report.Steps {
		if step.Err != nil {
			failed[step.Service] = true
			fmt.Fprintf(os.Stderr, "rc-netns: repair: %s\n", clean(fmt.Sprintf("%s: %v", step.Service, step.Err)))
		} else if !quiet {
			text += clean(step.Service+": "+repaired(step, try)) + "\n"
		}
	}
	if err := write(text); err != nil {
		return false, err
	}
	problem = len(failed) > 0
	for i := range report.Left {
		s := &report.Left[i]
		if quiet {
			break
		}
		lines := unrepaired(s, try || failed[s.Name])
		problem = problem || len(lines) > 0
		for _, line := range lines {
			fmt.Fprintf(os.Stderr, "rc-netns: repair: %s\n", clean(s.Name+": "+line))
		}
	}
	return problem, nil
}

// repaired says what was done, or would be.
func repaired(s repair.Step, try bool) string {
	did, names := "", ""
	if s.Process.PID != 0 {
		names, _ = list([]audit.Process{s.Process})
	}
	switch s.Kind {
	case repair.Bound:
		did = fmt.Sprintf("%s bound again in %s", s.What, names)
	case repair.Attached:
		did = fmt.Sprintf("BPF program attached again to its cgroup %s", s.What)
	case repair.Named:
		did = fmt.Sprintf("its network namespace has the name %q again", s.What)
	case repair.Skipped:
		return fmt.Sprintf("%s has another root directory: its /etc is left alone", names)
	}
	if try {
		return "would be repaired: " + did
	}
	return did
}

// unrepaired says what is wrong with a service still, and on the last line what to
// do about it; without what can be repaired, where that is said already.
func unrepaired(s *audit.Service, said bool) []string {
	var lines []string
	for _, f := range s.Findings {
		if !said || !s.CanRepair(f) {
			lines = append(lines, what(f))
		}
	}
	if command := oneLine(s.Remedy); command != "" && len(lines) > 0 {
		lines[len(lines)-1] += "; " + fixWith + " " + command
	}
	return lines
}
