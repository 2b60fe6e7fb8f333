package preflight

import (
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/files"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/rcdir"
	"openrc-netns/internal/serviceconf"
)

// A second service of one script, sshd.vpn beside sshd, shares with the first
// what the script does not name after the service: the network namespace keeps
// neither pid files nor the names of services apart.

// checkOtherServices looks for what the init script shares with, or does to, a
// service that is in use and belongs elsewhere.
func (s *serviceCheck) checkOtherServices() {
	if s.script == "" {
		return
	}
	path, err := filepath.EvalSymlinks(s.script)
	if err != nil {
		return
	}
	id, err := files.Identify(unix.AT_FDCWD, path)
	if err != nil {
		return
	}
	text, _ := files.Read(path)
	own, calls := readPidfiles(s.Name, path), findCalls(string(text))
	for _, other := range s.run.neighbours() {
		if other.name == s.Name {
			continue
		}
		same := other.id == id
		if same || own.command != "" && other.pidfiles.command == own.command {
			s.comparePidfiles(own, other.pidfiles, other.name)
		}
		if other.err != nil || other.netns != s.settings.Netns || other.vrf != s.settings.VRF {
			s.checkCalls(path, string(text), calls, other.name, same)
		}
	}
}

// neighbour is a service that is in use.
type neighbour struct {
	name       string
	id         files.ID // of its script
	pidfiles   *pidfiles
	netns, vrf string
	err        error // of these two
}

// neighbours are read once: each service is compared with all.
func (c *checker) neighbours() []neighbour {
	if c.inUse != nil {
		return c.inUse
	}
	c.inUse = []neighbour{}
	scripts, _ := names(rcdir.Init)
	for _, name := range scripts {
		script := filepath.Join(rcdir.Init, name)
		id, err := files.Identify(unix.AT_FDCWD, script)
		if err != nil || !openrc.HasScript(name) || !inUse(name) {
			continue
		}
		settings, err := serviceconf.Read(name)
		c.inUse = append(c.inUse, neighbour{name, id, readPidfiles(name, script), settings.Netns, settings.VRF, err})
	}
	return c.inUse
}

// inUse reports whether a service runs, or is to be started with a runlevel.
func inUse(service string) bool {
	if openrc.ReadState(service) != openrc.Stopped {
		return true
	}
	levels, _ := filepath.Glob(filepath.Join(rcdir.Runlevels, "*", service))
	return len(levels) > 0
}

// patterns are for what a script has on a line.
type patterns struct {
	called   *regexp.Regexp // a call of another service by its name
	spoken   *regexp.Regexp // the beginning of what only speaks of one
	enters   *regexp.Regexp // what comes before it, netns or vrf, and a setting that it takes the name from
	assigned *regexp.Regexp // NAME=WORD
	fallback *regexp.Regexp // ${NAME:=TEXT}
	given    *regexp.Regexp // --pidfile WORD
	variable *regexp.Regexp // $NAME, ${NAME} and ${NAME:-TEXT}
}

// match has them compiled when they are wanted: a start, which does not want
// them, would wait for it.
var match = sync.OnceValue(func() patterns {
	return patterns{
		called:   regexp.MustCompile("(?:^|[\\s;&|(`])(?:(?:/\\S*/)?(?:rc-)?service\\s+(?:-\\S+\\s+)*|/etc/init\\.d/)[\"']?([A-Za-z0-9_.+-]+|\\$[A-Za-z0-9_]+|\\$\\{[A-Za-z0-9_]+\\})[\"']?\\s+([a-z_]+)"),
		spoken:   regexp.MustCompile(`\b(v?e(info|warn|error|log)n?|v?e?w?begin|v?e?w?end|echo|printf|description\w*=)`),
		enters:   regexp.MustCompile(`^((?:[^#]|[^\s#]#+)*?[\s"'])(netns|vrf)\s+exec\b\s*(["']?\$(?:netns\b|vrf\b|\{netns\}|\{vrf\}))?`),
		assigned: regexp.MustCompile(`(?:^|[\s;])([A-Za-z_][A-Za-z0-9_]*)=("[^"]*"|'[^']*'|[^\s;"']+)`),
		fallback: regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*):?=([^}"' ]+)\}`),
		given:    regexp.MustCompile(`--pidfile[ =]+("[^"]*"|'[^']*'|[^\s;"']+)`),
		variable: regexp.MustCompile(`\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?::?[-=]([^}$]*))?\})`),
	}
})

// call is one of a service, in a line of a script.
type call struct {
	number int
	line   string
	from   int // where the name of the service begins in it, and ends
	to     int
}

func findCalls(script string) (calls []call) {
	number := 0
	for line := range strings.Lines(script) {
		number++
		found := match().called.FindStringSubmatchIndex(line)
		if found == nil || strings.HasPrefix(strings.TrimSpace(line), "#") || match().spoken.MatchString(line[:found[0]]) || line[found[4]:found[5]] == "status" {
			continue
		}
		calls = append(calls, call{number, line, found[2], found[3]})
	}
	return calls
}

// checkCalls looks for one of another service in the script.
func (s *serviceCheck) checkCalls(script, text string, calls []call, other string, same bool) {
	for _, c := range calls {
		if name := c.line[c.from:c.to]; name != other && !s.mayHold(name, other, text) {
			continue
		}
		where := finding.Where{Path: script, Line: c.number}
		id, remedy := finding.ServiceByName, finding.Remedy{}
		if same {
			before, after := c.line[:c.from], strings.TrimSuffix(c.line[c.to:], "\n")
			if quote := before[len(before)-1]; quote == '"' || quote == '\'' {
				before, after = before[:len(before)-1], after[1:]
			}
			id, remedy = finding.ServiceByNameOwn, finding.Write(finding.Edit{Path: script, Line: c.number, Text: before + `"$RC_SVCNAME"` + after})
		}
		s.add(id, finding.Warning, where, remedy, other, s.Name)
		return
	}
}

// mayHold reports whether a variable may have the name of the other service as
// its value. A script that knows this service by its own name may do so in
// another case.
func (s *serviceCheck) mayHold(expansion, other, text string) bool {
	name := strings.Trim(expansion, "${}")
	if name == expansion || regexp.MustCompile(`(^|[^A-Za-z0-9_.-])`+regexp.QuoteMeta(s.Name)+`([^A-Za-z0-9_.-]|$)`).MatchString(text) {
		return false
	}
	for _, m := range match().assigned.FindAllStringSubmatch(text, -1) {
		if m[1] == name && strings.Trim(m[2], `"'`) == other {
			return true
		}
	}
	return false
}
