package preflight

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"openrc-netns/internal/rcdir"
)

// services lists those that may have settings: all init scripts, and the files
// in conf.d that have none.
func services() ([]string, error) {
	scripts, err := names(rcdir.Init)
	if err != nil {
		return nil, err
	}
	files, err := names(rcdir.Conf)
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
			if _, err := os.Stat(filepath.Join(rcdir.Runlevels, level)); err == nil {
				return true
			}
		}
		if strings.HasPrefix(script, file+".") {
			return true
		}
	}
	return false
}
