package preflight

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"openrc-netns/internal/namespace"
	"openrc-netns/internal/provision"
)

// lookAtNamespace opens the namespace; nil if there is none. A service that
// makes it makes it in time.
func (s *subject) lookAtNamespace(root bool) *namespace.Namespace {
	name := s.settings.Netns
	if name == "" {
		if !root {
			return nil // only root may look at process 1
		}
		name = namespace.Host
	}
	if err := namespace.CheckName(name); err != nil {
		s.add("namespace-bad-name", Fails, s.from["netns"], err.Error(),
			"no network namespace can have that name", s.edit("write a name", "netns", properName(name)))
		return nil
	}
	if script := maker(name); script != "" && !executable(script) {
		s.add("script-not-executable", Fails, Where{Path: script}, "the init script cannot be executed",
			fmt.Sprintf("%s needs the service of its network namespace, and OpenRC does not know that", s.Name),
			run("make it executable, and have OpenRC look again", "chmod 755 "+script, "rc-update -u"))
		return nil
	}
	ns, err := namespace.Open(name)
	if err == nil {
		s.lookAtHost(ns)
		return ns
	}
	if errors.Is(err, fs.ErrPermission) && !root {
		s.Unchecked = append(s.Unchecked, err.Error())
		return nil
	}
	if maker(name) != "" && provision.Makes(err) {
		if s.VRF != "" && root {
			s.Unchecked = append(s.Unchecked, fmt.Sprintf("VRF %q: the service netns.%s makes its network namespace first", s.VRF, name))
		}
		return nil
	}
	s.addNamespace(name, err)
	return nil
}

// lookAtHost finds out whether a setting leads to the host's own namespace.
func (s *subject) lookAtHost(ns *namespace.Namespace) {
	host, err := namespace.Open(namespace.Host)
	if err != nil {
		return // only root may look at process 1
	}
	defer host.Close()
	s.onHost = s.Netns != "" && ns.Inode() == host.Inode()
	if !s.onHost || namespace.MeansHost(s.Netns) {
		return
	}
	remedy := s.edit("name another one, made with ip netns add vpn for instance; or write "+namespace.Host+", if that is meant", "netns", "vpn")
	if base := namespace.BaseName(s.Netns); base != "" {
		remedy = run("delete the name, and create a network namespace; or write "+namespace.Host+", if that is meant",
			"ip netns delete "+base, "ip netns add "+base)
	}
	s.add("namespace-host", Fails, s.from["netns"], fmt.Sprintf("network namespace %q is the host's own", s.Netns),
		"the service would run outside, and does not start", remedy)
}

// maker is the init script of the service that makes the namespace called name,
// which the drop-in looks for too; empty if there is none.
func maker(name string) string {
	const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	script := filepath.Join(initDir, "netns."+name)
	if _, err := os.Stat(script); err != nil || strings.Trim(name, plain) != "" {
		return ""
	}
	return script
}

// properName makes a name of one that is none.
func properName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < '!' || r == 0x7f || strings.ContainsRune(`"'\$`, r) {
			return -1
		}
		return r
	}, filepath.Base(name))
	if len(name) > 15 {
		name = name[:15]
	}
	if namespace.CheckName(name) != nil {
		return "vpn"
	}
	return name
}

// addNamespace is for a namespace that cannot be opened. Only one that has a name
// can be made.
func (s *subject) addNamespace(name string, err error) {
	const why = "the service does not start anywhere else instead"
	base := namespace.BaseName(name)
	path := filepath.Join(namespace.Dir, base)
	create := "ip netns add " + base
	what, _, _ := strings.Cut(err.Error(), "; ")
	var stale *namespace.StaleError
	switch {
	case base == "":
		id := "namespace-other"
		if errors.As(err, new(*namespace.NotExistError)) {
			id = "namespace-missing"
		}
		s.add(id, Fails, s.from["netns"], what, why,
			s.edit("a name lasts, a path may not: name a network namespace, made with ip netns add vpn for instance", "netns", "vpn"))
	case errors.As(err, new(*namespace.NotExistError)):
		s.add("namespace-missing", Fails, s.from["netns"], what, why,
			run("create it; to have it at every boot, see the network namespace as a service in openrc-netns-hook(8)"+meant(base), create))
	case errors.As(err, &stale):
		s.add("namespace-stale", Fails, Where{Path: stale.Path}, what,
			"the network namespace that had this name has gone, and an empty file was left",
			run("remove it, and create the network namespace", "rm "+stale.Path, create))
	default:
		remove := "rm "
		if info, err := os.Lstat(path); err == nil && info.IsDir() {
			remove = "rmdir "
		}
		commands := []string{remove + path, create}
		if mounted(path) {
			commands = append([]string{"umount " + path}, commands...)
		}
		s.add("namespace-other", Fails, Where{Path: path}, what, why, run("remove it, and create the network namespace", commands...))
	}
}

// meant names a network namespace that name may be a mistake for, to add to a
// remedy; empty if there is none like it.
func meant(name string) string {
	others, _ := names(namespace.Dir)
	if other := nearest(name, others); other != "" {
		return fmt.Sprintf("; or write %q, if that is meant", other)
	}
	return ""
}

// mounted reports whether something is mounted on the file at path.
func mounted(path string) bool {
	text, err := os.ReadFile("/proc/self/mountinfo")
	return err == nil && strings.Contains(string(text), " "+path+" ")
}
