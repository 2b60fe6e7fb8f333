package openrc

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/rogpeppe/go-internal/txtar"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

// A transcript is a scene of testdata/scenes on a machine. The README there
// says how to write one.
type transcript struct {
	*host
	before string // the traces at the snapshot
}

// commands are what a transcript has besides harmless ones of testscript.
var commands = map[string]struct {
	usage string
	least int  // number of arguments
	not   bool // whether "!" can stand before it
	do    func(s *transcript, ts *testscript.TestScript, neg bool, args []string)
}{
	"conf":       {"conf SERVICE [LINE]...", 1, false, (*transcript).conf},
	"daemon":     {"daemon SERVICE", 1, false, (*transcript).daemon},
	"rc":         {"[!] rc [OPTION]... SERVICE ACTION", 2, true, (*transcript).rc},
	"starts":     {"starts SERVICE NETNS", 2, false, (*transcript).starts},
	"stops":      {"stops SERVICE", 1, false, (*transcript).stops},
	"belongs":    {"belongs SERVICE NETNS", 2, false, (*transcript).belongs},
	"sh":         {"[!] sh COMMAND...", 1, true, (*transcript).sh},
	"until":      {"until COMMAND...", 1, false, (*transcript).until},
	"where":      {"[!] where PROCESS NETNS", 2, true, (*transcript).where},
	"running":    {"[!] running PROCESS [PID]", 1, true, (*transcript).running},
	"crash":      {"crash PROCESS", 1, false, (*transcript).crash},
	"pid":        {"pid VARIABLE PROCESS", 2, false, (*transcript).pid},
	"inode":      {"inode VARIABLE NETNS", 2, false, (*transcript).inode},
	"state":      {"state SERVICE STATE [SERVICE STATE]...", 2, false, (*transcript).state},
	"ran":        {"ran SERVICE NETNS FUNCTION...[, NETNS FUNCTION...]..., or ! ran SERVICE", 1, true, (*transcript).ran},
	"namespaces": {"namespaces [NETNS]...", 0, false, (*transcript).namespaces},
	"devices":    {"devices NETNS [DEVICE]...", 1, false, (*transcript).devices},
	"snapshot":   {"snapshot", 0, false, (*transcript).snapshot},
	"unchanged":  {"unchanged", 0, false, (*transcript).unchanged},
}

var harmless = []string{"cmp", "cmpenv", "env", "skip", "stderr", "stdout", "stop"}

// transcripts are the rows of the table that are a file each.
func transcripts() (rows []row) {
	files, err := filepath.Glob("testdata/scenes/*.txtar")
	if err != nil {
		panic(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		rows = append(rows, row{name: name, file: file})
	}
	return rows
}

// playTranscript plays a file. Where that says that the scene cannot be there,
// it calls lacks with the reason, and skips the test.
func playTranscript(t *testing.T, h *host, options machine.Options, file string, lacks func(why string)) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := staysInside(archive); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	s := &transcript{host: h}
	scripts, err := filepath.Glob("testdata/init.d/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range scripts {
		if name := filepath.Base(script); regexp.MustCompile(`\b` + name + `\b`).Match(archive.Comment) {
			h.scripts(name)
		}
	}
	brought := []string{"rm", "-f"}
	defer func() { h.Run(quote(brought...)) }() // also where the scene is skipped
	for _, f := range archive.Files {
		if strings.Contains(f.Name, "/") {
			h.Write("/"+f.Name, string(f.Data))
			brought = append(brought, "/"+f.Name)
		}
	}
	params := testscript.Params{
		Files: []string{file},
		Condition: func(name string) (bool, error) {
			if known := slices.Concat(releases, binShells, []string{"alone"}); !slices.Contains(known, name) {
				return false, fmt.Errorf("use one of %s", strings.Join(known, ", "))
			}
			return name == options.Release || name == options.Shell || name == "alone" && options.Alone, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){},
	}
	for name, c := range commands {
		params.Cmds[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			if len(args) < c.least || neg && !c.not {
				ts.Fatalf("usage: %s", c.usage)
			}
			c.do(s, ts, neg, args)
		}
	}
	testscript.RunT(player{t, lacks}, params)
	if pids := s.processes("sleeper"); len(pids) > 0 {
		t.Errorf("a daemon runs: %q", pids)
	}
}

// staysInside refuses what would reach past the machine: what testscript has
// for files and programs works on the host.
func staysInside(archive *txtar.Archive) error {
	for _, f := range archive.Files {
		if !filepath.IsLocal(f.Name) {
			return fmt.Errorf("file %q: write the path in the machine, without a slash at its beginning", f.Name)
		}
	}
	for line := range strings.Lines(string(archive.Comment)) {
		words := strings.Fields(line)
		for len(words) > 0 && (words[0] == "!" || words[0][0] == '[') {
			words = words[1:]
		}
		if len(words) == 0 || words[0][0] == '#' || slices.Contains(harmless, words[0]) {
			continue
		}
		if _, known := commands[words[0]]; !known {
			return fmt.Errorf("%q is no command of a scene; on the machine: sh %s", words[0], strings.TrimSpace(line))
		}
	}
	return nil
}

// player has testscript play in the test of the row itself, one scene after the
// other.
type player struct {
	*testing.T
	lacks func(why string)
}

func (p player) Run(_ string, play func(testscript.T)) { play(p) }
func (p player) Parallel()                             {}
func (p player) Verbose() bool                         { return testing.Verbose() }
func (p player) Skip(why ...any)                       { p.lacks(fmt.Sprint(why...)); p.T.Skip(why...) }

// run runs a script, for stdout and stderr to look at.
func (s *transcript) run(ts *testscript.TestScript, neg bool, script string) {
	const timedOut = 124
	result := s.Run(script)
	fmt.Fprint(ts.Stdout(), result.Stdout)
	fmt.Fprint(ts.Stderr(), result.Stderr)
	if (result.Code != 0) != neg || result.Code == timedOut {
		ts.Fatalf("exit status %d", result.Code)
	}
}

func quote(words ...string) string {
	for i, word := range words {
		words[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return strings.Join(words, " ")
}

func (s *transcript) sh(ts *testscript.TestScript, neg bool, args []string) {
	s.run(ts, neg, strings.Join(args, " "))
}

func (s *transcript) rc(ts *testscript.TestScript, neg bool, args []string) {
	s.run(ts, neg, "rc-service "+quote(args...))
}

func (s *transcript) starts(ts *testscript.TestScript, _ bool, args []string) {
	s.rc(ts, false, []string{args[0], "start"})
	s.where(ts, false, []string{"sleeper", args[1]})
}

func (s *transcript) stops(ts *testscript.TestScript, _ bool, args []string) {
	s.rc(ts, false, []string{args[0], "stop"})
	s.running(ts, true, []string{"sleeper"})
	s.state(ts, false, []string{args[0], "stopped"})
}

func (s *transcript) belongs(ts *testscript.TestScript, _ bool, args []string) {
	s.starts(ts, false, args)
	s.stops(ts, false, args)
}

func (s *transcript) until(ts *testscript.TestScript, neg bool, args []string) {
	s.run(ts, neg, kit.Poll(strings.Join(args, " ")))
}

func (s *transcript) conf(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 1 {
		s.run(ts, neg, "rm "+quote("/etc/conf.d/"+args[0]))
		return
	}
	s.Conf(args[0], args[1:]...)
}

func (s *transcript) daemon(ts *testscript.TestScript, neg bool, args []string) {
	s.run(ts, neg, "ln -s daemon "+quote("/etc/init.d/"+args[0]))
}

// processes are those of a name, or that of a pidfile.
func (s *transcript) processes(what string) (pids []string) {
	if strings.HasPrefix(what, "/") {
		text, _ := s.ReadFile(what)
		pids = strings.Fields(text)
	} else {
		const most = 15 // what the kernel keeps of a name: proc_pid_comm(5)
		files, _ := filepath.Glob(s.path("/proc/[0-9]*/comm"))
		for _, file := range files {
			if comm, _ := os.ReadFile(file); strings.TrimSpace(string(comm)) == what[:min(len(what), most)] {
				pids = append(pids, filepath.Base(filepath.Dir(file)))
			}
		}
	}
	return slices.DeleteFunc(pids, func(pid string) bool {
		_, err := os.Readlink(s.path("/proc/" + pid + "/ns/net"))
		return err != nil // at its end
	})
}

// process waits for the only one: start-stop-daemon does not wait for what it
// puts into the background.
func (s *transcript) process(ts *testscript.TestScript, what string) string {
	var pids []string
	if !soon(func() bool { pids = s.processes(what); return len(pids) == 1 }) {
		ts.Fatalf("processes of %s: %q, want one", what, pids)
	}
	return pids[0]
}

func (s *transcript) pid(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], s.process(ts, args[1]))
}

func (s *transcript) running(ts *testscript.TestScript, neg bool, args []string) {
	pids := s.processes(args[0])
	switch {
	case !neg && len(args) == 1:
		s.process(ts, args[0])
	case !neg:
		if pid := s.process(ts, args[0]); pid != args[1] {
			ts.Fatalf("%s is process %s", args[0], pid)
		}
	case len(args) == 1 && len(pids) > 0, len(args) > 1 && slices.Contains(pids, args[1]):
		ts.Fatalf("processes of %s: %q", args[0], pids)
	}
}

func (s *transcript) crash(ts *testscript.TestScript, neg bool, args []string) {
	pid := s.process(ts, args[0])
	s.run(ts, neg, "kill -9 "+pid+"; while [ -e /proc/"+pid+" ]; do sleep 0.05; done")
}

// netns is the link of a network namespace: by its name, "host", or a link
// itself.
func (s *transcript) netns(what string) string {
	switch {
	case what == "host":
		return s.outside()
	case strings.HasPrefix(what, "net:["):
		return what
	}
	return s.namespace(what)
}

// is reports whether a link is that of a network namespace, or of one that is
// not the host's and has no name.
func (s *transcript) is(link, what string) bool {
	if what != "unnamed" {
		return link == s.netns(what)
	}
	names, _ := filepath.Glob(s.path("/run/netns/*"))
	return strings.HasPrefix(link, "net:[") && link != s.outside() &&
		!slices.ContainsFunc(names, func(name string) bool { return link == s.namespace(filepath.Base(name)) })
}

func (s *transcript) inode(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], s.netns(args[1]))
}

func (s *transcript) where(ts *testscript.TestScript, neg bool, args []string) {
	if link := s.host.where(s.process(ts, args[0])); s.is(link, args[1]) == neg {
		ts.Fatalf("%s is in %s; the host is %s, vpn %s", args[0], link, s.outside(), s.inside())
	}
}

// state waits: OpenRC starts some services without waiting for them.
func (s *transcript) state(ts *testscript.TestScript, _ bool, args []string) {
	var states []string
	if !soon(func() bool {
		states = nil
		for i := 0; i < len(args); i += 2 {
			states = append(states, args[i], s.host.state(args[i]))
		}
		return slices.Equal(states, args)
	}) {
		ts.Fatalf("they are: %s", strings.Join(states, " "))
	}
}

func (s *transcript) ran(ts *testscript.TestScript, neg bool, args []string) {
	service, rest := args[0], args[1:]
	if neg {
		if text, err := s.ReadFile("/run/trace." + service); err == nil {
			ts.Fatalf("it ran:\n%s", text)
		}
		return
	}
	seen := trace(s.host, service)
	script, astray := seen["script"]
	delete(seen, "script")
	for len(rest) > 0 {
		netns := rest[0]
		astray = astray && !s.is(script, netns)
		for rest = rest[1:]; len(rest) > 0; rest = rest[1:] {
			function, last := strings.CutSuffix(rest[0], ",")
			if link := seen[function]; !s.is(link, netns) {
				ts.Fatalf("%s ran in %q, and not in %s", function, link, netns)
			}
			delete(seen, function)
			if last {
				rest = rest[1:]
				break
			}
		}
	}
	if astray {
		ts.Fatalf("the script was read in %s", script)
	}
	if len(seen) > 0 {
		ts.Fatalf("these ran too: %v", seen)
	}
}

func (s *transcript) namespaces(ts *testscript.TestScript, _ bool, args []string) {
	if names := s.names(); names != strings.Join(args, " ") {
		ts.Fatalf("they are: %s", names)
	}
}

func (s *transcript) devices(ts *testscript.TestScript, _ bool, args []string) {
	netns := args[0]
	if netns == "host" {
		netns = ""
	}
	if devices := s.host.devices(netns); devices != strings.Join(args[1:], " ") {
		ts.Fatalf("they are: %s", devices)
	}
}

func (s *transcript) snapshot(*testscript.TestScript, bool, []string) { s.before = traces(s.host) }

func (s *transcript) unchanged(ts *testscript.TestScript, _ bool, _ []string) {
	same(s.T, "it", s.host, s.before)
	if s.T.Failed() {
		ts.Fatalf("something changed")
	}
}

func TestTranscriptsStayInside(t *testing.T) {
	for text, want := range map[string]string{
		"rc daemon start\n! sh rm /run/x # rm\n\n# exec\nstdout x\n": "",
		"conf daemon\n-- etc/init.d/x --\n-- want --\n":              "",
		"exec rc-service daemon start\n":                             `"exec" is no command of a scene; on the machine: sh exec rc-service daemon start`,
		"[sid] ! rm /etc/conf.d/daemon\n":                            `"rm" is no command of a scene`,
		"-- /etc/init.d/x --\n":                                      `file "/etc/init.d/x": write the path in the machine, without a slash at its beginning`,
		"-- ../x --\n":                                               `file "../x"`,
	} {
		err := staysInside(txtar.Parse([]byte(text)))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s%v, want %q", text, err, want)
		}
	}
}

// Whoever writes a scene finds each command in the README beside it.
func TestReadmeOfScenes(t *testing.T) {
	readme := kit.Read(t, "testdata/scenes/README.md")
	for name, c := range commands {
		for usage := range strings.SplitSeq(c.usage, ", or ") {
			kit.Contains(t, readme, "\n| `"+usage+"` |")
		}
		if c.not && !strings.Contains(c.usage, "!") {
			t.Errorf("%s can be negated, and its usage does not say so", name)
		}
	}
	kit.Equal(t, "commands", fmt.Sprint(strings.Count(readme, "\n| `")), fmt.Sprint(len(commands)+1))
}
