package launch

import "strings"

func getenv(env []string, name string) string {
	for _, entry := range env {
		if value, found := strings.CutPrefix(entry, name+"="); found {
			return value
		}
	}
	return ""
}

// setenv returns a copy of env with the variable set, in its old place if it
// has one, as by setenv(3). That would leave duplicates as they are; here they
// go, because the last one counts for a shell.
func setenv(env []string, name, value string) []string {
	result := make([]string, 0, len(env)+1)
	set := false
	for _, entry := range env {
		switch {
		case !strings.HasPrefix(entry, name+"="):
			result = append(result, entry)
		case !set:
			result = append(result, name+"="+value)
			set = true
		}
	}
	if !set {
		result = append(result, name+"="+value)
	}
	return result
}

func shell(env []string) string {
	if shell := getenv(env, "SHELL"); shell != "" {
		return shell
	}
	return "/bin/sh"
}
