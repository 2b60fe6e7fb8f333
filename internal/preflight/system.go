package preflight

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"openrc-netns/internal/ask"
	"openrc-netns/internal/confd"
	"openrc-netns/internal/files"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/serviceconf"
)

// The drop-in, and the link to it for the services of users.
const (
	dropinPath     = serviceconf.DropIn
	userDropinPath = "/etc/user/rc.conf.d/50-netns.conf"
)

// What Debian's init scripts source, and the file of ours that it sources.
const (
	lsbFunctions  = "/lib/lsb/init-functions"
	lsbDropinPath = "/lib/lsb/init-functions.d/50-openrc-netns"
)

// askTimeout is how long OpenRC may take to answer a question.
const askTimeout = 10 * time.Second

// checkSystem checks OpenRC and what of ours is installed.
func checkSystem() (System, error) {
	var s System
	var err error
	if s.Directory, err = ask.Directory(); err != nil {
		return s, err
	}
	s.OpenRC = version()
	s.Patched = patched(s.Directory)
	if s.checkDropin() {
		s.checkSupport()
	}
	s.checkUserDropin()
	s.checkLSBDropin()
	s.checkGlobalSettings()
	s.checkInittab()
	return s, nil
}

// version asks OpenRC for its version. Debian's "rc-service (OpenRC) 0.45.2"
// can have more behind it.
func version() string {
	output, err := askOpenRC("--version")
	_, rest, found := strings.Cut(output, "(OpenRC) ")
	if fields := strings.Fields(rest); err == nil && found && len(fields) > 0 {
		return fields[0]
	}
	return ""
}

// askOpenRC is rc-service(8) with a question that changes nothing.
func askOpenRC(question ...string) (string, error) {
	err := fs.ErrNotExist
	for _, dir := range []string{"/sbin", "/usr/sbin", "/bin", "/usr/bin"} {
		program := filepath.Join(dir, "rc-service")
		if _, err = os.Stat(program); err == nil {
			output, err := run([]string{"PATH=/sbin:/bin:/usr/sbin:/usr/bin"}, append([]string{program}, question...)...)
			return string(output), err
		}
	}
	return "", err
}

// patched reports whether the shell files of OpenRC have Alpine's patches.
func patched(dir string) bool {
	shellFiles, _ := filepath.Glob(filepath.Join(dir, "sh/*.sh"))
	for _, file := range shellFiles {
		if text, err := files.Read(file); err == nil && bytes.Contains(text, []byte("RC_VRF_EXEC")) {
			return true
		}
	}
	return false
}

// checkDropin reports whether there is a drop-in that OpenRC can read.
func (s *System) checkDropin() bool {
	text, err := files.Read(dropinPath)
	dropin := finding.Where{Path: dropinPath}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.add(finding.DropinMissing, finding.Outside, dropin, finding.Remedy{})
		return false
	case errors.Is(err, fs.ErrPermission):
		s.unchecked(finding.UncheckedDropin, dropinPath)
		return false
	case err != nil:
		s.add(finding.DropinUnreadable, finding.Outside, dropin, finding.Run("rm", "-r", dropinPath), errors.Unwrap(err))
		return false
	}
	if info, err := os.Stat(dropinPath); err == nil && info.Mode().Perm()&0o444 != 0o444 {
		s.add(finding.DropinUnreadableUsers, finding.Warning, dropin, finding.Run("chmod", "644", dropinPath))
	}
	if word := versionIn(string(text)); word != openrc.Protocol {
		s.add(finding.DropinVersion, finding.Fails, dropin, finding.Remedy{})
	}
	hook, line := pathIn(string(text), "/openrc-netns-hook")
	switch {
	case hook == "":
	case !executable(hook):
		s.add(finding.HookMissing, finding.Fails, finding.Where{Path: dropinPath, Line: line}, finding.Remedy{}, hook)
	default:
		if word, err := run(nil, hook, "protocol"); err != nil || strings.TrimSpace(string(word)) != openrc.Protocol {
			s.add(finding.HookMissingVersion, finding.Fails, finding.Where{Path: hook}, finding.Remedy{}, hook)
		}
	}
	if service, _ := pathIn(string(text), "/service.sh"); service != "" {
		s.library = filepath.Dir(service)
		s.checkLibrary()
	}
	return true
}

// library are the files that the drop-in reads for services with settings.
var library = []string{"service.sh", "script.sh", "maker.sh", "lsb.sh", "supervisors.sh", "depend.sh"}

// checkLibrary looks for the first file that the drop-in would not take.
func (s *System) checkLibrary() {
	for _, name := range library {
		file := filepath.Join(s.library, name)
		text, err := files.Read(file)
		id, args := finding.LibraryMissing, []any{file}
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, fs.ErrPermission):
			s.unchecked(finding.UncheckedFile, file)
			return
		case err != nil:
			id, args = finding.LibraryMissingUnread, append(args, errors.Unwrap(err))
		case !strings.HasSuffix(string(text), "\n"+libraryVersion+openrc.Protocol+"\n"):
			id = finding.LibraryMissingVersion
		default:
			continue
		}
		s.add(id, finding.Fails, finding.Where{Path: file}, finding.Remedy{}, args...)
		return
	}
}

// What sets the version that a file of the library has, in its last line, and
// what the drop-in compares it with.
const (
	libraryVersion = "_netns_version="
	wantedVersion  = `case "$_netns_version" in `
)

// versionIn is the version that the drop-in wants its library to have; empty if
// it has none.
func versionIn(text string) string {
	_, rest, _ := strings.Cut(text, wantedVersion)
	word, _, found := strings.Cut(rest, ")")
	if !found {
		return ""
	}
	return word
}

// pathIn finds the word in the code of a drop-in that ends in suffix, and its
// line.
func pathIn(text, suffix string) (path string, number int) {
	for line := range strings.Lines(text) {
		number++
		for _, word := range strings.Fields(line) {
			if strings.HasPrefix(word, "/") && strings.HasSuffix(word, suffix) {
				return word, number
			}
		}
	}
	return "", 0
}

// checkSupport asks the installed OpenRC the question that the drop-in asks when
// dependencies are worked out: does it come past the drop-in before it runs a
// script? The script is one of ours that does nothing.
func (s *System) checkSupport() {
	dir, err := os.MkdirTemp("", "openrc-netns-check")
	if err != nil {
		s.unchecked(finding.UncheckedSupport, err)
		return
	}
	defer os.RemoveAll(dir)
	const service = "openrc-netns-check"
	script := filepath.Join(dir, service)
	if err := os.WriteFile(script, []byte("#!/sbin/openrc-run\n"), 0o755); err != nil {
		s.unchecked(finding.UncheckedSupport, err)
		return
	}
	answer, _ := run([]string{
		"OPENRC_NETNS_PROBE=yes", "RC_SVCNAME=" + service, "RC_SERVICE=" + script, "RC_PATH=/etc",
		"RC_LIBEXECDIR=" + s.Directory, "RC_SVCDIR=/run/openrc", "RC_RUNLEVEL=default",
		"PATH=" + s.Directory + "/bin:" + s.Directory + "/sbin:/sbin:/bin:/usr/sbin:/usr/bin",
	}, filepath.Join(s.Directory, ask.RunScript), script, "describe")
	if strings.HasSuffix(string(answer), "openrc-netns\n") {
		return
	}
	s.add(finding.OpenRCUnsupported, finding.Fails, finding.Where{Path: filepath.Join(s.Directory, ask.RunScript)}, finding.Remedy{})
}

// checkUserDropin looks at what keeps the services of users from running
// outside.
func (s *System) checkUserDropin() {
	if _, err := os.Stat(filepath.Join(s.Directory, "sh/openrc-user.sh")); err != nil {
		return // an OpenRC without them
	}
	if _, err := os.Stat(dropinPath); err != nil {
		return // the link comes with it
	}
	link, err := os.Stat(userDropinPath)
	if file, fileErr := os.Stat(dropinPath); err == nil && fileErr == nil && !os.SameFile(link, file) {
		text, err := files.Read(userDropinPath)
		original, originalErr := files.Read(dropinPath)
		if err == nil && originalErr == nil && bytes.Equal(text, original) {
			return // a copy does as well
		}
	} else if err == nil || errors.Is(err, fs.ErrPermission) {
		return
	}
	s.add(finding.UserDropinMissing, finding.Outside, finding.Where{Path: userDropinPath},
		finding.Run("mkdir", "-p", filepath.Dir(userDropinPath)).Run("ln", "-sf", dropinPath, userDropinPath))
}

// checkLSBDropin looks at what hands Debian's init scripts over to OpenRC.
func (s *System) checkLSBDropin() {
	if _, err := os.Stat(lsbFunctions); err != nil {
		return
	}
	if _, err := os.Stat(lsbDropinPath); errors.Is(err, fs.ErrNotExist) {
		s.add(finding.LSBDropinMissing, finding.Outside, finding.Where{Path: lsbDropinPath}, finding.Remedy{})
	}
}

// checkGlobalSettings looks for settings that are made for all services at
// once, and for what was meant to be one.
func (s *System) checkGlobalSettings() {
	values, err := serviceconf.Global(openrc.Names...)
	for _, file := range serviceconf.GlobalFiles() {
		s.checkSpelling(file, "")
		_, plain := confd.ReadFile(file, nil)
		for _, name := range openrc.Names {
			where := lastIn([]string{file}, name)
			if _, set := values[name]; where.Line == 0 || err == nil && !set {
				continue
			}
			var remedy finding.Remedy
			if plain == nil {
				remedy = finding.Write(remove(where, name))
			}
			s.add(finding.SettingGlobal, finding.Warning, where, remedy, name)
		}
	}
}

// works reports whether OpenRC comes past the drop-in.
func (s System) works() bool {
	return !slices.ContainsFunc(s.Findings, func(f finding.Finding) bool {
		return f.Gravity == finding.Fails || f.Gravity == finding.Outside
	})
}

// run returns the standard output of a command that changes nothing.
func run(env []string, argv ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = env
	cmd.WaitDelay = time.Second
	return cmd.Output()
}
