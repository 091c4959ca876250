/**
 * A Ceph cluster on the loopback interface, with everything in memory but its monitor's list: one monitor, one store of objects, and an
 * S3 gateway (radosgw) that can be killed and started again. Nothing outside its folder is changed.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from './free-port.ts';

const execute = promisify(execFile);
const timeoutMs = 120_000;
const pollMs = 50;
/** What the store of objects may take. */
const storeBytes = 1 << 30;

/** Of the only user of the gateway. */
export const cephKeys = { id: 'AKBLOCKYARD', secret: 'SKBLOCKYARDSECRET' };

export class Ceph {
  private readonly daemons = new Map<string, ChildProcess>();

  private constructor(
    private readonly folder: string,
    private readonly gatewayPort: number,
  ) {}

  static async start(): Promise<Ceph> {
    const ceph = new Ceph(mkdtempSync(join(tmpdir(), 'blockyard-ceph-')), await freePort());
    try {
      await ceph.startCluster();
      await ceph.startGateway();
      await ceph.makeUser();
      return ceph;
    } catch (error) {
      await ceph.stop();
      throw error;
    }
  }

  /** Of the gateway. */
  get origin(): string {
    return `http://127.0.0.1:${this.gatewayPort}`;
  }

  private path(name: string): string {
    return join(this.folder, name);
  }

  private async startCluster(): Promise<void> {
    for (const name of ['mon', 'osd', 'rgw', 'run', 'log']) mkdirSync(this.path(name));
    const [cluster, store] = [randomUUID(), randomUUID()];
    const [port2, port1] = [await freePort(), await freePort()];
    const monitors = `[v2:127.0.0.1:${port2},v1:127.0.0.1:${port1}]`;
    writeFileSync(this.path('ceph.conf'), configuration(this.folder, cluster, monitors));
    const keyring = this.path('keyring');
    const allow = ['--cap', 'mon', 'allow *', '--cap', 'osd', 'allow *', '--cap', 'mgr', 'allow *'];
    await this.run(
      'ceph-authtool',
      '--create-keyring',
      keyring,
      '--gen-key',
      '-n',
      'mon.',
      ...allow.slice(0, 3),
    );
    await this.run('ceph-authtool', keyring, '--gen-key', '-n', 'client.admin', ...allow);
    const ofStore = [
      '--cap',
      'mon',
      'allow profile osd',
      '--cap',
      'osd',
      'allow *',
      '--cap',
      'mgr',
      'allow profile osd',
    ];
    await this.run('ceph-authtool', keyring, '--gen-key', '-n', 'osd.0', ...ofStore);
    const map = this.path('monmap');
    await this.run('monmaptool', '--create', '--fsid', cluster, '--addv', 'a', monitors, map);
    copyFileSync(keyring, this.path('osd/keyring'));
    await this.run('ceph-mon', '--mkfs', '-i', 'a', '--monmap', map, '--keyring', keyring);
    this.daemon('mon', 'ceph-mon', '-i', 'a', '-f');
    await this.run('ceph-osd', '-i', '0', '--mkfs', '--osd-uuid', store);
    await this.run('ceph', '--connect-timeout', '60', 'osd', 'new', store);
    this.daemon('osd', 'ceph-osd', '-i', '0', '-f');
  }

  /** Settles when it answers. */
  async startGateway(): Promise<void> {
    const gateway = this.daemon(
      ...(['rgw', 'radosgw', '-n', 'client.admin', '-f'] as const),
      ...[`--rgw_data=${this.path('rgw')}`, `--keyring=${this.path('keyring')}`],
      `--rgw_frontends=beast endpoint=127.0.0.1:${this.gatewayPort} tcp_nodelay=1`,
      ...['--rgw_thread_pool_size=32', '--rgw_enable_usage_log=false'],
    );
    const end = Date.now() + timeoutMs;
    while (!(await answers(this.origin))) {
      if (gateway.exitCode !== null || Date.now() > end)
        throw new Error(`radosgw does not start: ${this.log('rgw')}`);
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }

  /** At once, in whatever it is doing. */
  async killGateway(): Promise<void> {
    await ended(this.daemons.get('rgw')!); // it was started
  }

  private async makeUser(): Promise<void> {
    const keys = ['--access-key', cephKeys.id, '--secret-key', cephKeys.secret];
    await this.run('radosgw-admin', 'user', 'create', '--uid', 't', '--display-name', 't', ...keys);
  }

  private async run(program: string, ...args: string[]): Promise<void> {
    await execute(
      program,
      [...args, '-c', this.path('ceph.conf')].filter((arg) => arg !== ''),
      { timeout: timeoutMs },
    );
  }

  private daemon(name: string, program: string, ...args: string[]): ChildProcess {
    const log = openSync(this.path(`log/${name}.out`), 'a');
    const child = spawn(program, [...args, '-c', this.path('ceph.conf')], { stdio: ['ignore', log, log] });
    closeSync(log);
    this.daemons.set(name, child);
    return child;
  }

  private log(name: string): string {
    return readFileSync(this.path(`log/${name}.out`), 'utf8').slice(-2000);
  }

  /** Ends what was started, and removes all of it. */
  async stop(): Promise<void> {
    await Promise.all([...this.daemons.values()].map(ended));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

async function answers(url: string): Promise<boolean> {
  try {
    await (await fetch(url)).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

function configuration(folder: string, cluster: string, monitors: string): string {
  return `[global]
fsid=${cluster}
mon_host=${monitors}
mon_initial_members=a
keyring=${folder}/keyring
auth_allow_insecure_global_id_reclaim=false
public_addr=127.0.0.1
cluster_addr=127.0.0.1
ms_bind_ipv6=false
osd_pool_default_size=1
osd_pool_default_min_size=1
osd_pool_default_pg_num=1
osd_pool_default_pgp_num=1
osd_pool_default_pg_autoscale_mode=off
osd_crush_chooseleaf_type=0
mon_allow_pool_size_one=true
mon_max_pg_per_osd=5000
paxos_propose_interval=0.05
paxos_min_wait=0.01
mon_osd_report_timeout=300
run_dir=${folder}/run
log_file=${folder}/log/$name.log
crash_dir=${folder}/log
admin_socket=
debug_ms=0
[mon.a]
mon_data=${folder}/mon
mon_data_avail_crit=1
mon_cluster_log_file=${folder}/log/cluster.log
[osd.0]
osd_data=${folder}/osd
osd_objectstore=memstore
memstore_device_bytes=${storeBytes}
osd_op_num_shards=2
osd_op_num_threads_per_shard=1
`;
}
