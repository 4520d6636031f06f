import { Command } from 'commander';
import { auditEraseCommand } from './audit-erase.ts';
import { auditExportCommand } from './audit-export.ts';
import { auditShowCommand } from './audit-show.ts';
import { auditVerifyCommand } from './audit-verify.ts';

/** `aegis audit`: everything about the audit log that works without a gateway. */
export const auditCommand = (): Command =>
  new Command('audit')
    .description('verify, read and erase from the audit log; also beside a running gateway')
    .addCommand(auditVerifyCommand())
    .addCommand(auditShowCommand())
    .addCommand(auditExportCommand())
    .addCommand(auditEraseCommand());
