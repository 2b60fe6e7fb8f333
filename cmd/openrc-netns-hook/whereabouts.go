package main

import (
	"fmt"
	"strings"

	"openrc-netns/internal/namespace"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/rcnetns"
)

// whereabouts is what the status of a service has to say of where it runs, and what is
// wrong with that. Mostly nothing is, which a glance shows; for the rest there is
// rc-netns(8). What cannot be told is no reason for a status to fail.
func whereabouts(service string, settings openrc.Settings, ns *namespace.Namespace) (where string, warnings []string) {
	switch running, sure := openrc.Glance(service, settings, ns); {
	case running && sure:
		return fmt.Sprintf("runs in network namespace %q", settings.Netns), nil
	case sure:
		return "", nil
	}
	output, err := rcnetns.Ask("status", "--openrc", "--", service)
	if err != nil {
		return "", []string{fmt.Sprintf("cannot tell where it runs: %v", err)}
	}
	where, rest, _ := strings.Cut(output, "\n")
	for line := range strings.Lines(rest) {
		warnings = append(warnings, strings.TrimSuffix(line, "\n"))
	}
	return where, warnings
}
