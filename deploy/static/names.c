/*
 * Part of the static programs: names of machines are looked up in /etc/hosts and by DNS, whatever
 * /etc/nsswitch.conf says.
 *
 * The C library has these two built in. For anything else that is listed there (mDNS, systemd, LDAP)
 * it would load a module of the machine into the program, and with it the machine's own C library;
 * one of another version than ours ends the process.
 */
extern int __nss_configure_lookup(const char *database, const char *sources);

static __attribute__((constructor)) void look_up_names_without_modules(void)
{
    (void)__nss_configure_lookup("hosts", "files dns");
}
