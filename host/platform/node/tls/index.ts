/** TLS by Node's OpenSSL. What it takes is loaded when there are credentials: most programs have none. */
import type { Tls } from '../../tls.ts';

export const tls: Tls = {
  async x509(options) {
    const { loadX509 } = await import('./x509-files.ts');
    return loadX509(options);
  },
  async psk(options) {
    const { loadPsk } = await import('./psk-file.ts');
    return loadPsk(options);
  },
  async anonymous(options) {
    const { anonymous } = await import('./anonymous.ts');
    return anonymous(options);
  },
};
