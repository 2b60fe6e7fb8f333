package preflight

import (
	"regexp"
	"strings"

	"openrc-netns/internal/files"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/serviceconf"
)

// inittab is the file of inittab(5), and of busybox's init.
const inittab = "/etc/inittab"

// inNamespace is a command that runs OpenRC in a network namespace. (Of
// nsenter(1) only what names the namespace can be told.)
var inNamespace = regexp.MustCompile(`\b(?:ip\s+netns\s+exec\s+|netns-exec\s+|nsenter\s+(?:--net=|-n\s*)/(?:var/)?run/netns/)([^\s/]+)\s.*\b(?:openrc|rc-service|rc)(?:\s|$)`)

// checkInittab looks for an OpenRC that is run in a network namespace, whose
// services without settings would be expected there.
func (s *System) checkInittab() {
	text, err := files.Read(inittab)
	if err != nil || inherits() {
		return
	}
	line := 0
	for content := range strings.Lines(string(text)) {
		line++
		if strings.HasPrefix(strings.TrimSpace(content), "#") {
			continue
		}
		if found := inNamespace.FindStringSubmatch(content); found != nil {
			s.add(finding.OpenRCInNamespace, finding.Outside, finding.Where{Path: inittab, Line: line}, finding.Remedy{}, found[1])
		}
	}
}

// inherits reports whether all services stay where they are started from.
func inherits() bool {
	set, _ := serviceconf.Global(openrc.InheritSetting)
	yes, _ := openrc.YesNo(set[openrc.InheritSetting])
	return yes
}
