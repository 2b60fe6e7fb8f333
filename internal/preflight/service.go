package preflight

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/confd"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/serviceconf"
)

const (
	confDir  = openrc.ConfDir
	initDir  = openrc.InitDir
	levelDir = "/etc/runlevels"
)

// looker looks at services.
type looker struct {
	openrc System
	root   bool
}

// subject is a service that is being looked at.
type subject struct {
	Service
	settings   openrc.Settings
	from       map[string]Where // of what is set, and of supervisor
	supervisor string
	script     string // its path; empty if there is none
	unreadable bool   // only a shell can tell the settings
	onHost     bool   // netns leads to the host's network
}

// services lists those that may have settings: all init scripts, and the files
// in conf.d that have none.
func services() ([]string, error) {
	scripts, err := names(initDir)
	if err != nil {
		return nil, err
	}
	files, err := names(confDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, file := range files {
		if !slices.Contains(scripts, file) && !belongs(file, scripts) {
			scripts = append(scripts, file)
		}
	}
	slices.Sort(scripts)
	return scripts, nil
}

// names lists what is in a directory, without what editors and package managers
// leave there.
func names(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "#") || strings.HasSuffix(name, "~") || isLeftover(filepath.Ext(name)) {
			continue
		}
		names = append(names, name)
	}
	return names, nil
}

func isLeftover(extension string) bool {
	for _, known := range []string{".apk-", ".dpkg-", ".pac", ".rpm", ".ucf-"} {
		if strings.HasPrefix(extension, known) {
			return true
		}
	}
	return slices.Contains([]string{".bak", ".orig", ".old", ".rej", ".swp", ".save"}, extension)
}

// belongs reports whether a file in conf.d belongs to services of other names:
// conf.d/sshd.default to sshd in the runlevel default, conf.d/sshd to sshd.vpn.
func belongs(file string, scripts []string) bool {
	if file == "openrc-netns" {
		return true // all of it is comments, to copy from
	}
	for _, script := range scripts {
		if level, found := strings.CutPrefix(file, script+"."); found {
			if _, err := os.Stat(filepath.Join(levelDir, level)); err == nil {
				return true
			}
		}
		if strings.HasPrefix(script, file+".") {
			return true
		}
	}
	return false
}

// look returns nil for a service that has no settings of ours, unless it was
// named.
func (l *looker) look(name string, named bool) (*Service, error) {
	if err := openrc.CheckName(name); err != nil {
		return nil, err
	}
	s := subject{
		Service: Service{Name: name, Findings: []Finding{}, Unchecked: []string{}},
		from:    map[string]Where{},
	}
	if _, err := os.Stat(filepath.Join(initDir, name)); err == nil {
		s.script = filepath.Join(initDir, name)
	}
	files := serviceconf.Files(name)
	if s.script == "" {
		s.script = elsewhere(name)
	}
	if s.script == "" && len(files) == 0 {
		if !named {
			return nil, nil // a link to nowhere
		}
		return nil, &NotExistError{name}
	}
	for _, file := range files {
		s.readConf(file)
	}
	s.readSettings(files)
	s.readScript()
	if s.Known {
		s.Netns, s.VRF = s.settings.Netns, s.settings.VRF
		if spec, err := s.settings.Spec(); err == nil {
			s.Lock = spec.Sockets.Lock
		}
	}
	switch {
	case s.makesNamespace():
		s.lookAtMaker()
	case s.settings.Confined() && !s.unreadable:
		s.lookAtScript(l.openrc)
		s.lookAtOthers()
		s.lookAtSupervisor(l.openrc)
		s.lookAtPlace(l.root, l.openrc)
	}
	if !named && s.Makes == "" && !s.settings.Confined() && len(s.Findings)+len(s.Unchecked) == 0 {
		return nil, nil
	}
	return &s.Service, nil
}

// elsewhere asks OpenRC, of which each release has other directories for init
// scripts besides the usual one.
func elsewhere(service string) string {
	path, err := askOpenRC("--resolve", service)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(path)
}

func (s *subject) add(id string, effect Effect, where Where, what, why string, remedy Remedy) {
	s.Findings = append(s.Findings, finding(id, effect, where, what, why, remedy))
}

// supervisorName is OpenRC's own setting.
const supervisorName = "supervisor"

// readConf reads where one file of conf.d says what.
func (s *subject) readConf(file string) {
	found, err := confd.List(file, openrc.Names)
	switch {
	case errors.Is(err, fs.ErrPermission):
		s.Unchecked = append(s.Unchecked, fmt.Sprintf("%s: permission denied", file))
		return
	case errors.As(err, new(*confd.SyntaxError)):
		found = confd.Candidates(file, "netns_", nil)
	case err != nil:
		s.Unchecked = append(s.Unchecked, err.Error())
		return
	}
	for _, a := range found {
		s.take(file, a)
		if known := likely(a.Name); known != "" {
			s.add("setting-unknown", Warning, Where{file, a.Line},
				fmt.Sprintf("there is no setting %q", a.Name),
				fmt.Sprintf("it does nothing, and looks like %q", known),
				s.rename(file, a, known))
		}
	}
	s.lookBelow(file)
	if !confd.Assigns(file, supervisorName) {
		return
	}
	s.supervisor = ""
	if found, err := confd.Head(file, []string{supervisorName}); err == nil {
		for _, a := range found {
			s.take(file, a)
		}
	}
}

// lookBelow looks for settings below a return, where nobody reads them: some files
// come with one as the last line.
func (s *subject) lookBelow(file string) {
	found, line := confd.Unreached(file, openrc.Names)
	if len(found) == 0 {
		return
	}
	a := found[0]
	remedy := write("write it above that")
	if text := strings.TrimSpace(lineOf(file, a.Line)); strings.HasPrefix(text, a.Name+"=") && !strings.ContainsAny(text, " \t;#") {
		remedy = write("write it above that", Edit{file, a.Line, ""}, Edit{file, line, text + "; " + lineOf(file, line)})
	}
	s.add("setting-unreached", Outside, Where{file, a.Line}, fmt.Sprintf("%q is set below a return", a.Name),
		"the shell does not read on there, and the service runs without the setting", remedy)
}

// readSettings reads the settings as all do who run no shell. Of a service whose
// files name none of them it is nobody's business what cannot be read.
func (s *subject) readSettings(files []string) {
	settings, err := serviceconf.Read(s.Name)
	s.settings = settings
	s.Known = err == nil || errors.As(err, new(*serviceconf.NotExistError))
	var syntax *confd.SyntaxError
	if !errors.As(err, &syntax) || !serviceconf.MaySetNetns(s.Name) {
		return
	}
	s.unreadable = true
	s.add("settings-unreadable", Warning, Where{syntax.Path, syntax.Line},
		syntax.Problem,
		"only a shell can tell what the settings are: the service starts with them, and nothing that does not run a shell knows where it belongs: this check, status, netns-exec --service",
		write(syntax.Remedy))
	for _, file := range files {
		for _, a := range confd.Candidates(file, "netns", []string{"netns"}) {
			if a.Name != "netns" || a.Value == "" || maker(a.Value) != "" {
				continue
			}
			ns, err := namespace.Open(a.Value)
			if err == nil {
				ns.Close()
				continue
			}
			what, _, _ := strings.Cut(err.Error(), "; ")
			s.Unchecked = append(s.Unchecked, fmt.Sprintf("whether %s:%d counts: %s", file, a.Line, what))
		}
	}
}

// rename is the remedy for a name with a mistake in it: the same line with
// another name.
func (s *subject) rename(file string, a confd.Assignment, known string) Remedy {
	text := strings.Replace(lineOf(file, a.Line), a.Name+"=", known+"=", 1)
	return write("write "+known, Edit{file, a.Line, text})
}

// edit is the remedy of another value for a setting that is in a file.
func (s *subject) edit(text, name, value string) Remedy {
	where := s.from[name]
	return write(text, Edit{where.Path, where.Line, assign(lineOf(where.Path, where.Line), name, value)})
}

// assign gives, in a line that confd can read, the variable called name another
// value, and leaves the rest of the line.
func assign(line, name, value string) string {
	if strings.ContainsAny(value, " \t") {
		value = `"` + value + `"`
	}
	assignment := name + "=" + value
	start := strings.LastIndex(" "+line, " "+name+"=")
	if start < 0 {
		if start = strings.LastIndex(line, "\t"+name+"=") + 1; start == 0 {
			return assignment
		}
	}
	rest := line[start+len(name)+1:]
	length := strings.IndexAny(rest+" ", " \t")
	if rest != "" && (rest[0] == '"' || rest[0] == '\'') {
		length = strings.IndexByte(rest[1:], rest[0]) + 2
	}
	return line[:start] + assignment + rest[length:]
}

// lineOf is the line of that number, counted from 1.
func lineOf(file string, number int) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if number--; number == 0 {
			return strings.TrimSuffix(line, "\n")
		}
	}
	return ""
}

func (s *subject) take(file string, a confd.Assignment) {
	switch {
	case a.Name == supervisorName:
		s.supervisor = a.Value
	case slices.Contains(openrc.Names, a.Name):
		s.settings.Set(a.Name, a.Value) // readSettings has the last word on those of conf.d
	default:
		return
	}
	s.from[a.Name] = Where{file, a.Line}
}

// readScript reads what the init script says as plainly as a file of conf.d does.
// It is sourced after those.
func (s *subject) readScript() {
	if s.script == "" {
		return
	}
	found, err := confd.Head(s.script, append([]string{supervisorName}, openrc.Names...))
	if err != nil {
		return
	}
	before, confined := s.settings, s.settings.Confined()
	inConf := maps.Clone(s.from)
	var changed *confd.Assignment
	for i, a := range found {
		previous := s.settings
		s.take(s.script, a)
		if s.settings != previous {
			changed = &found[i]
		}
	}
	if confined && s.settings != before && !s.unreadable {
		old, set := inConf[changed.Name]
		if !set {
			old = s.from[changed.Name]
		}
		s.add("settings-conflict", Fails, Where{s.script, changed.Line},
			fmt.Sprintf("the init script changes %q, and %s has settings too", changed.Name, confDir),
			"conf.d has decided where the script runs by the time that it is read, and a start is refused",
			write("set it in one of the two", Edit{old.Path, old.Line, without(lineOf(old.Path, old.Line), changed.Name)}))
	}
	if !confd.Mentions(s.script, supervisorName) {
		return
	}
	// A script that sets it in a way that cannot be read leaves nothing known.
	for _, a := range found {
		if a.Name == supervisorName {
			return
		}
	}
	s.supervisor = ""
}

// lookAtScript looks whether OpenRC runs the script, and not somebody else.
func (s *subject) lookAtScript(system System) {
	if s.script == "" {
		s.addScriptMissing()
		return
	}
	info, err := os.Stat(s.script)
	if err != nil {
		return
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		effect, why := Fails, "OpenRC does not start it"
		if system.runsEveryScript() {
			effect, why = Warning, "OpenRC does not ask it for its dependencies, so it may be started before its network namespace is there"
		}
		s.add("script-not-executable", effect, Where{Path: s.script}, "the init script cannot be executed", why,
			run("make it executable, and have OpenRC look again", "chmod 755 "+s.script, "rc-update -u"))
		return
	}
	interpreter := lineOf(s.script, 1)
	if strings.Contains(interpreter, "openrc-run") || strings.Contains(interpreter, "runscript") || entersItself(s.script) {
		return
	}
	header, sources := lsb(s.script)
	switch {
	case !header && (sources || system.runsEveryScript()):
		s.add("script-no-header", Fails, Where{s.script, 1},
			"the init script is not one for openrc-run, and has no LSB header",
			"OpenRC takes a script of another interpreter for one of Debian's by its header, and cannot run this one inside",
			run("write the header", fmt.Sprintf(`sed -i '1a ### BEGIN INIT INFO\n# Provides: %s\n# Required-Start:\n# Required-Stop:\n# Default-Start: 2 3 4 5\n# Default-Stop: 0 1 6\n# Short-Description: %s\n### END INIT INFO' %s`,
				s.Name, s.Name, s.script)))
		return
	case sources || system.runsEveryScript():
		return
	}
	s.add("script-bypasses-openrc", Outside, Where{s.script, 1},
		fmt.Sprintf("the init script begins with %q and not with #!/sbin/openrc-run", interpreter),
		"rc-service hands it to that interpreter, the drop-in is not asked, and the service runs on the host's network",
		run("have the script enter by itself", fmt.Sprintf(
			`sed -i '1a [ "$NETNS_ENTERED" = %s ] || exec env NETNS_ENTERED=%s netns-exec --service %s -- "$0" "$@"' %s`,
			s.Name, s.Name, s.Name, s.script)))
}

// entersItself reports whether the script has the line of that remedy.
func entersItself(script string) bool {
	return strings.Contains(lineOf(script, 2), "exec env NETNS_ENTERED=")
}

// lsb reports whether a script has the header of Debian's, and whether it sources
// the file by way of which one of ours hands it over to OpenRC.
func lsb(script string) (header, sources bool) {
	text, err := os.ReadFile(script)
	if err != nil {
		return false, false
	}
	_, err = os.Stat(lsbFunctions)
	return strings.Contains(string(text), "\n### BEGIN INIT INFO"), err == nil && strings.Contains(string(text), lsbFunctions)
}

// runsEveryScript reports whether rc-service gives every script to openrc-run, as
// Debian's does since 0.63.
func (s System) runsEveryScript() bool {
	if _, err := os.Stat(filepath.Join(s.Directory, "bin/lsb2rcconf")); err != nil {
		return false
	}
	var major, minor int
	n, _ := fmt.Sscanf(s.OpenRC, "%d.%d", &major, &minor)
	return n == 2 && (major > 0 || minor >= 63)
}

// addScriptMissing is for settings that no service has.
func (s *subject) addScriptMissing() {
	where := s.from["netns"]
	if where.Path == "" {
		where = Where{Path: filepath.Join(confDir, s.Name)}
	}
	what := fmt.Sprintf("there is no service %q: %s does not exist", s.Name, filepath.Join(initDir, s.Name))
	const why = "nobody reads these settings"
	base, _, multiplexed := strings.Cut(s.Name, ".")
	scripts, _ := names(initDir)
	if multiplexed && slices.Contains(scripts, base) {
		s.add("script-missing", Fails, where, what, why,
			run("link it to the script that it is a second service of", fmt.Sprintf("ln -s %s %s", base, filepath.Join(initDir, s.Name))))
		return
	}
	file := filepath.Join(confDir, s.Name)
	if meant := nearest(s.Name, scripts); meant != "" {
		s.add("script-missing", Fails, where, what, why,
			run(fmt.Sprintf("if %q is meant, move them there", meant),
				fmt.Sprintf("cat %s >>%s", file, filepath.Join(confDir, meant)), "rm "+file))
		return
	}
	s.add("script-missing", Fails, where, what, why, run("install the service, or remove the file", "rm "+file))
}

// executable reports whether OpenRC would take the file for an init script.
func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && unix.Access(path, unix.X_OK) == nil
}
