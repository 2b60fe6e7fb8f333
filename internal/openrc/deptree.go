package openrc

import (
	"path/filepath"
	"strings"

	"openrc-netns/internal/files"
	"openrc-netns/internal/rcdir"
)

// Dependencies are what rc-depend(8) keeps of all services: by name, the
// services that each waits for, as it needs, uses or wants them, or comes after
// them.
type Dependencies map[string][]string

// ReadDependencies reads OpenRC's cache, which it writes when a service is
// started after a change; empty if there is none.
func ReadDependencies() Dependencies {
	text, err := files.Read(filepath.Join(rcdir.State(), "deptree"))
	if err != nil {
		return nil
	}
	// depinfo_3_service='sshd', then depinfo_3_ineed_0='net' and so on.
	found, service := Dependencies{}, ""
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "'\n"), "='")
		parts := strings.Split(key, "_")
		switch {
		case len(parts) < 3 || parts[0] != "depinfo":
		case parts[2] == "service":
			service = value
		case parts[2] == "ineed", parts[2] == "iuse", parts[2] == "iwant", parts[2] == "iafter", parts[2] == "providedby":
			found[service] = append(found[service], value)
		}
	}
	return found
}

// Waits reports whether service waits for other, itself or by way of what it
// waits for.
func (d Dependencies) Waits(service, other string) bool {
	return d.waits(service, other, map[string]bool{})
}

func (d Dependencies) waits(service, other string, seen map[string]bool) bool {
	if seen[service] {
		return false
	}
	seen[service] = true
	for _, next := range d[service] {
		if next == other || d.waits(next, other, seen) {
			return true
		}
	}
	return false
}
