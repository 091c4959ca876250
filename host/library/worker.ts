/**
 * The worker of `blockyard/browser`, in one file that imports nothing. What few pages need is made as parts of their own: where
 * the sources say `import()`, the build says `importPart()` (host/build/browser.mjs), and the page is asked for the text.
 */
import { firstMessage } from './worker-inbox.ts';
import { loadPartsFrom } from './worker-parts.ts';
import { start } from './worker-service.ts';

firstMessage
  .then((message) => {
    loadPartsFrom(message.parts);
    return start(message);
  })
  .catch((error) => self.reportError(error));
