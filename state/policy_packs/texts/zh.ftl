### What borrowers read, in Chinese. The same messages as in en.ftl, which says more.

## 方案的说明

offer-sender = 【{ $lender }】

offer-plan =
    { $count ->
        [1] 我们为您准备了一个在您承受能力之内的还款方案，您可在{ $until }前（含当日）接受。
       *[other] 我们为您准备了{ $count }个在您承受能力之内的还款方案，请在{ $until }前（含当日）选择最适合您的一个。
    }
offer-plan-income-assumed =
    { $count ->
        [1] 我们为您准备了一个还款方案。我们尚不了解您的收入情况，请您确认能否承受，并在{ $until }前（含当日）接受。
       *[other] 我们为您准备了{ $count }个还款方案。我们尚不了解您的收入情况，请您确认能否承受，并在{ $until }前（含当日）选择最适合您的一个。
    }
offer-plan-supportive =
    { $count ->
        [1] 我们理解您目前的处境不易。我们为您准备了一个在您承受能力之内的还款方案，您可在{ $until }前（含当日）从容考虑。如需帮助，我们有专人与您一起商量。
       *[other] 我们理解您目前的处境不易。我们为您准备了{ $count }个在您承受能力之内的还款方案，您可从容考虑，在{ $until }前（含当日）选择即可。如需帮助，我们有专人与您一起商量。
    }
offer-pay-in-full = 您欠款{ $amount }，在您可一次付清的范围内，无需分期方案。如情况有变化，请联系我们。
offer-token = 目前我们所能提供的还款方案都超出您的承受能力。您可在{ $until }前（含当日）同意先每月还款{ $amount }，之后我们再一起商量下一步。
offer-moratorium = 目前我们所能提供的还款方案都超出您的承受能力。您可在{ $until }前（含当日）同意暂缓还款{ $months }个月，之后我们再一起商量下一步。
offer-referral = 我们希望和您一起找到可行的办法。请联系我们的专员，也可以向独立机构免费咨询。
offer-referral-supportive = 感谢您告诉我们您的处境。您现在不需要做任何决定，我们近期也不会再向您发送还款方案。您愿意的时候，我们有专人与您商量。
offer-dispute = 您对这笔欠款有异议。在核实之前，我们不会向您发送还款方案。
offer-lessons = 您可以参考：{ $titles }。
offer-lesson = 《{ $title }》
offer-telephone = 您可以致电{ $telephone }。
offer-reply = 在线答复或咨询请访问：{ $link }

## 方案的理由

reason-affordable =
    { $count ->
        [1] 每期金额都在您的承受能力之内。
       *[other] 每个方案的每期金额都在您的承受能力之内。
    }
reason-several-accounts =
    { $count ->
        [1] 该方案合并考虑了您的多个账户。
       *[other] 这些方案合并考虑了您的多个账户。
    }
reason-income-unknown = 我们尚不了解您的收入情况，请告诉我们，以便为您制定方案。
reason-expenses-unknown = 我们尚不了解您每月的开支情况，请告诉我们，以便为您制定方案。
reason-income-assumed = 我们尚不了解您的收入情况，请告诉我们，以便确定您能够承受的金额。
reason-no-surplus = 扣除必要的生活开支和其他债务后，您目前没有余力还款。
reason-nothing-affordable = 目前我们所能提供的还款方案都超出您的承受能力。
reason-arrangement-not-permitted = 在此情形下，我们不能提供小额还款或暂缓还款。我们将由专人与您一起寻找办法。
reason-payable-at-once = 您所欠的{ $amount }在您一个月能够支付的范围内。
reason-below-minimum-instalment = 在您能够承受的方案中，每期金额会低于{ $least }，即我们所能安排的最低每期金额。
reason-too-high = 您表示上次方案的每期金额太高。
reason-lowest-possible =
    { $count ->
        [0] 您拒绝的金额已是我们所能提供的最低每期金额。
        [1] 该方案的每期金额已是我们所能提供的最低金额。
       *[other] 首选方案的每期金额已是我们所能提供的最低金额。
    }
reason-too-long = 您表示上次方案的期限太长。
reason-no-shorter-term =
    { $count ->
        [1] 更短的期限会超出您的承受能力，因此该方案的期限仍较长。
       *[other] 更短的期限会超出您的承受能力，因此仍提供较长的期限。
    }
reason-rate =
    { $count ->
        [0] 您表示利率太高。
        [1] 您表示利率太高，该方案的总成本最低。
       *[other] 您表示利率太高，因此将总成本最低的方案排在最前。
    }
reason-distrust = 您对上次的方案有疑虑。您可以了解我们如何计算，以及如何核实方案的真实性。
reason-income-change = 您表示收入有变化，请告诉我们您现在的收支情况。
reason-dispute = 您对欠款有异议。在核实之前，我们不会再发送还款方案。
reason-distress = 我们理解您目前非常困难，因此先暂停一段时间。
reason-vulnerability = 我们安排专人为您服务，一切按您的节奏来。
reason-counter-met =
    { $count ->
        [1] 该方案的每期金额不超过您提出的金额。
       *[other] 首选方案的每期金额不超过您提出的金额。
    }
reason-counter-too-low = 按您提出的金额，无法在我们所能提供的期限和减免范围内还清欠款。
reason-recording-missing = 电话达成的协议需要录音，请您再次确认所选的方案。
reason-earlier-offer-ended = 您接受的方案当时已经失效，这是新的方案。

## 可以获得的帮助

support-hotline = 还款困难咨询：请拨打卡片或合同上的客服电话。
support-hotline-telephone = 还款困难咨询：请拨打{ $telephone }。
support-person = 您可以要求由专人负责，并约定您方便的时间。
support-dispute = 请将异议和相关证明提交给我们的投诉处理部门。核实期间，我们不会催收有异议的金额。
support-interview = 您可以预约一次简短的访谈，更新您的收支情况。
support-portal = 查看您的全部账户：{ $link }
advice-cn = 金融消费者权益保护热线和当地金融纠纷调解中心可提供免费帮助。
advice-gb = StepChange、National Debtline和MoneyHelper提供免费、独立的债务咨询。
advice-us = 美国全国信贷咨询基金会（NFCC）的会员机构提供非营利的信贷咨询。
advice-anywhere = 您可以向当地独立的债务咨询机构免费咨询。
advice-link = 免费、独立的债务咨询：{ $link }

## 方案的名称和理由

option-label-level =
    { $months ->
        [1] 一次还清{ $amount }
       *[other] 分{ $months }期，每期{ $amount }
    }
option-label-step-up =
    { $months ->
        [1] 一次还清{ $amount }
       *[other] 分{ $months }期，先少后多，每期最高{ $amount }
    }
option-label-deferred =
    { $months ->
        [1] 一次还清{ $amount }
       *[other] 分{ $months }期，{ $deferred ->
            [1] 首期
           *[other] 前{ $deferred }期
        }只还利息，之后每期{ $amount }
    }
option-label-deferred-free =
    { $months ->
        [1] 一次还清{ $amount }
       *[other] 共{ $months }个月，{ $deferred ->
            [1] 首月
           *[other] 前{ $deferred }个月
        }无需还款，之后每月{ $amount }
    }
option-label-token = 暂时每月还款{ $amount }，共{ $months }期
option-label-payment-holiday = { $until }前（含当日）无需还款
option-reason-token = { $until }前（含当日）您每月只需还这一小笔。我们不催收其余欠款，也不计收罚息和违约金。
option-reason-payment-holiday = { $until }前（含当日）您无需还款。我们不催收，也不计收罚息和违约金。
option-reason-review = 我们将于{ $due_on }重新了解您的情况，并提供下一步方案。
option-reason-affordable = 每期金额不超过{ $amount }，在您的承受能力之内。
option-reason-highest = 每期最高{ $amount }。
option-reason-interest-free = 免收利息。
option-reason-rate-cut = 利率在合同利率的基础上下浮{ $cut }。
option-reason-waived = 减免{ $amount }。
option-reason-deferred =
    { $deferred ->
        [1] 首期只还利息。
       *[other] 前{ $deferred }期只还利息。
    }
option-reason-deferred-free =
    { $deferred ->
        [1] 首月无需还款。
       *[other] 前{ $deferred }个月无需还款。
    }
option-reason-step-up = 前期的每期金额较低。
option-reason-saves = 比按原合同还款少付{ $amount }。

## 信息披露

disclosure-balance-structure-currency-heading = 欠款余额、结构和币种
disclosure-balance-structure-currency = 您的欠款合计{ $owed }（币种：{ $currency }），其中本金{ $principal }，利息{ $interest }，费用{ $fees }，违约金{ $penalty }。
disclosure-cycle-heading = 还款周期
disclosure-cycle =
    { $count ->
        [1] 一次性还款，共1期。
       *[other] { $options ->
            [1] 每月还款一次，共{ $count }期。
           *[other] 每月还款一次，首选方案共{ $count }期。
        }
    }
disclosure-method-currency-dates-amounts-heading = 还款币种、日期和金额
disclosure-method-currency-dates-amounts =
    { $count ->
        [1] 您以{ $currency }于{ $first }还款{ $most }。
       *[other] { $options ->
            [1] 您以{ $currency }还款，首期还款日为{ $first }，末期还款日为{ $last }，每期最高{ $most }。方案列明每期的还款日和金额。
           *[other] 您以{ $currency }还款。首选方案的首期还款日为{ $first }，末期还款日为{ $last }，每期最高{ $most }。各方案列明每期的还款日和金额。
        }
    }
disclosure-fees-and-interest-going-on-heading = 利息和费用
disclosure-fees-and-interest-going-on =
    { $options ->
        [1] 您按方案还款期间，只计收方案列明的利息：年利率{ $rate }，利息合计{ $charged }。不再计收其他费用和违约金。
       *[other] 您按方案还款期间，只计收方案列明的利息：首选方案年利率{ $rate }，利息合计{ $charged }。不再计收其他费用和违约金。
    }
disclosure-fees-and-interest-going-on-free =
    { $options ->
        [1] 您按方案还款期间，不计收利息，也不再计收其他费用和违约金。
       *[other] 您按方案还款期间，不再计收其他费用和违约金；首选方案不计收利息。
    }
disclosure-cycle-for-a-time =
    { $count ->
        [0] { $until }前（含当日）无需还款。
       *[other] 每月还款一次，共{ $count }期；{ $until }前（含当日）没有其他还款。
    }
disclosure-method-currency-dates-amounts-for-a-time =
    { $count ->
        [0] { $until }前（含当日）您无需还款（币种：{ $currency }）。我们将于{ $due_on }提供下一步方案。
        [1] 您以{ $currency }于{ $first }还款{ $most }。本安排有效至{ $until }，我们将于{ $due_on }提供下一步方案。
       *[other] 您以{ $currency }还款，首期还款日为{ $first }，末期还款日为{ $last }，每期{ $most }。本安排有效至{ $until }，我们将于{ $due_on }提供下一步方案。
    }
disclosure-fees-and-interest-going-on-for-a-time = { $until }前（含当日）不计收罚息和违约金，也不因延期另行收费。合同约定的利息照常计收。
disclosure-all-in-cost-for-a-time = 本安排不另行收费：{ $until }前（含当日）只有合同约定的利息照常计收。
disclosure-rights-duties-default-for-a-time =
    { $count ->
        [0] { $until }前（含当日）我们停止催收。您可以随时还款，也可以随时提出异议。期满后如未商定下一步方案，恢复执行原合同。
       *[other] 您按本安排还款期间，我们停止催收。您可以随时多还，也可以随时提出异议。连续{ $missed }期未按时还款，本安排即告失效，恢复执行原合同。
    }
disclosure-no-new-cards-until-settled-heading = 不申请新的信用卡
disclosure-no-new-cards-until-settled = 在欠款结清之前，您承诺不向任何银行申请新的信用卡。
disclosure-all-in-cost-heading = 综合融资成本
disclosure-all-in-cost =
    { $options ->
        [1] 您按方案正常还款时，年化综合融资成本为{ $cost }（内部收益率法，复利）：本金{ $financed }，利息合计{ $charged }，由我们收取。除此之外，不再收取其他与本方案相关的息费。
       *[other] 您按方案正常还款时，首选方案的年化综合融资成本为{ $cost }（内部收益率法，复利）：本金{ $financed }，利息合计{ $charged }，由我们收取。除此之外，不再收取其他与本方案相关的息费。
    }
disclosure-contingent-cost-heading = 违约情形下的或有成本
disclosure-contingent-cost = 方案有效期间，未按时还款不另行收费。方案因未按时还款而失效后，恢复执行原合同。
contingent-penalty-markup = 届时我们对逾期本金按合同利率上浮{ $markup }计收罚息。
contingent-penalty-rate = 届时我们对逾期本金按年利率{ $rate }计收罚息。
contingent-penalty-on-interest = 逾期利息同样计收罚息。
contingent-late-fee-flat = 届时每笔逾期我们收取违约金{ $fees }。
contingent-late-fee-share = 届时每笔逾期我们按未还部分的{ $late }收取违约金。
contingent-late-fee-both = 届时每笔逾期我们收取违约金{ $fees }，另加未还部分的{ $late }。
contingent-late-fee-most = 每笔违约金最高{ $most }。
contingent-cap = 上述各项收费合计不超过本金的{ $cap }。
contingent-none = 届时我们不收取罚息和违约金。
disclosure-rights-duties-default-heading = 您的权利、义务和违约责任
disclosure-rights-duties-default =
    { $missed ->
        [1] 您按期还款期间，我们停止催收。您可以提前还清，也可以随时提出异议。任何一期未按时还款，方案即告失效，恢复执行原合同。
       *[other] 您按期还款期间，我们停止催收。您可以提前还清，也可以随时提出异议。连续{ $missed }期未按时还款，方案即告失效，恢复执行原合同。
    }
agreed-method-currency-dates-amounts =
    { $count ->
        [1] 您以{ $currency }按合同约定的渠道于{ $first }还款{ $most }。
       *[other] 您以{ $currency }按合同约定的渠道还款，首期还款日为{ $first }，末期还款日为{ $last }，每期最高{ $most }。每期的还款日和金额见还款计划表。
    }
agreed-fees-and-interest-going-on = 您履行协议期间，只计收还款计划表所列的利息：年利率{ $rate }，利息合计{ $charged }。不再计收其他费用和违约金。
agreed-fees-and-interest-going-on-free = 您履行协议期间，不计收利息，也不再计收其他费用和违约金。

## 课程

lesson-how-plans-work = 还款方案如何运作
lesson-how-we-calculate = 我们如何计算您的承受能力
lesson-is-it-genuine = 如何核实还款方案的真实性
lesson-interest-and-fees = 利息和费用是如何产生的
lesson-budget-basics = 如何制定家庭预算
lesson-income-shock = 收入减少时怎么办
lesson-your-rights = 您的权利
lesson-looking-after-yourself = 负债压力下如何照顾好自己
lesson-credit-record = 如何重建信用记录

## 协议页面

agreement-title = 个性化分期还款协议
agreement-number = 协议编号
agreement-lender = 贷款人
agreement-telephone = 联系电话
agreement-borrower = 借款人编号
agreement-account = 账户
agreement-agreed-on = 达成日期
agreement-rules = 适用规则
agreement-recording = 电话录音编号
agreement-recording-kept = （录音至少保存至欠款结清之日）
agreement-balance = 欠款余额、结构和币种（{ $currency }）
agreement-principal = 本金
agreement-interest = 利息
agreement-fees = 费用
agreement-penalty = 违约金
agreement-sum = 合计
agreement-owed = 欠款
agreement-waived = 减免
agreement-financed = 应还
agreement-terms = 约定事项
agreement-schedule = 还款计划表（{ $currency }）
agreement-schedule-now = 现行还款计划表（{ $currency }）
agreement-period = 期次
agreement-due-on = 还款日
agreement-amount = 每期金额
agreement-of-principal = 其中本金
agreement-of-interest = 其中利息
agreement-left = 剩余本金
agreement-rate = 年利率
agreement-more = 从发出方案到达成协议期间，欠款增加了{ $amount }，在末期之后偿还。约定的各期金额不变。
agreement-less = 从发出方案到达成协议期间，欠款减少了{ $amount }，从末期起扣减。利息按实际欠款计算。
agreement-onto-last = 从发出方案到达成协议期间，欠款增加了{ $amount }，计入末期。末期金额不超过约定的每期最高金额。
agreement-spread = 从发出方案到达成协议期间，欠款增加了{ $amount }。由于期限不得延长，各期金额相应增加。
agreement-forgiven = 差额{ $amount }予以减免。
agreement-beside = 已出账单的{ $amount }不在本计划之内，请于{ $due_on }另行支付。
agreement-postponed = 还款曾暂停。暂停期间到期的各期及以后各期已顺延，还款日以此表为准。
agreement-translation = 本页为译文，仅供参考，以达成协议时所用语言的文本为准。
