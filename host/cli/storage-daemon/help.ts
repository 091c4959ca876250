/** What `--help` and `--version` of the storage daemon print. */
import { versionText } from '../../qmp/version.ts';
import type { Tool } from '../shared/tool.ts';

export function printVersion(tool: Tool): void {
  tool.out(`${tool.name.replace(/ /g, '-')} version ${versionText}\n`);
}

export function printHelp(tool: Tool): void {
  tool.out(
    `Usage: ${tool.name} [options]
Serves block nodes, their exports, block jobs and a QMP monitor

  -h, --help             display this help and exit
  -V, --version          output version information and exit

  --blockdev [driver=]<driver>[,node-name=<N>][,discard=ignore|unmap]
             [,cache.direct=on|off][,cache.no-flush=on|off]
             [,read-only=on|off][,auto-read-only=on|off]
             [,force-share=on|off][,detect-zeroes=on|off|unmap]
             [,driver specific parameters...]
                         open a block node

  --chardev stdio,id=<id>
  --chardev null,id=<id>
  --chardev file,id=<id>,path=<path>[,append=on|off]
  --chardev pipe,id=<id>,path=<path>
  --chardev socket,id=<id>,path=<path>[,server=on|off][,wait=on|off]
  --chardev socket,id=<id>,host=<host>,port=<port>[,server=on|off][,wait=on|off]
            [,to=<port>][,ipv4=on|off][,ipv6=on|off]
  --chardev socket,id=<id>,fd=<fd>[,server=on|off][,wait=on|off]
            any socket: [,telnet=on|off][,reconnect=<s>|,reconnect-ms=<ms>]
            any device: [,logfile=<path>[,logappend=on|off]]
                         open a character device

  --daemonize            go on in the background once startup is complete

  --export [type=]nbd,id=<id>,node-name=<N>[,name=<name>][,description=<text>]
           [,writable=on|off][,writethrough=on|off][,allocation-depth=on|off]
           [,bitmaps.<i>=<name>]
                         export a block node by NBD
  --export [type=]nbd-ws,id=<id>,node-name=<N>,addr.type=inet,addr.host=<host>,
           addr.port=<port>[,path=</path>][,origins.<i>=<origin>]
           [,max-connections=<n>][,handshake-max-seconds=<n>]
           [,tls-creds=<id>][,tls-authz=<id>][,...]
                         export a block node by NBD over a WebSocket, as pages
                         reach it; those of other origins must be named

  --monitor [chardev=]name[,mode=control][,pretty=on|off]
                         serve QMP on a character device

  --nbd-server addr.type=unix,addr.path=<path>[,max-connections=<n>]
               [,handshake-max-seconds=<n>]
  --nbd-server addr.type=inet,addr.host=<host>,addr.port=<port>[,...]
                         listen for the clients of exports

  --object throttle-group,id=<id>[,limits.iops-total=<n>][,limits.bps-read-max=<n>]...
                         make a throttle group

  --pidfile <path>       write process ID to a file after startup

  -T, --trace [[enable=]<pattern>][,events=<file>][,file=<file>]
                         show what happens, request by request; 'help' lists the events

Options take effect in the order given. The argument of --blockdev,
--export, --monitor, --nbd-server and --object may be JSON.
`,
  );
}
